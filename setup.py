"""A wheel carries what stands beside the package in the repository: pretrained weights and notebooks."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

INCLUDED = {"checkpoints": ("data/checkpoints", "*.safetensors"), "notebooks": ("notebooks", "*.ipynb")}


class BuildWithWeights(build_py):
    """Copies them into stablediff_edu/included/; an editable installation uses the repository's own."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name, (folder, pattern) in INCLUDED.items():
            target = Path(self.build_lib) / "stablediff_edu" / "included" / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for file in Path(folder).glob(pattern):
                shutil.copy(file, target)


setup(cmdclass={"build_py": BuildWithWeights})
