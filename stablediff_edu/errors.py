"""The one exception that a learner is meant to read."""


class CourseError(Exception):
    """Something the learner can mend: one plain sentence that says what is wrong and what to do next.

    Commands print the sentence and end with exit code 2; notebooks show the sentence instead of a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence alone (it looks for this method before it prints a traceback)."""
        return [f"{type(self).__name__}: {self}"]
