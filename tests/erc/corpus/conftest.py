from tests.cogmen.conftest import dialogues  # noqa: F401 (a fixture)
