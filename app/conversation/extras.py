"""The packages that only a conversation of one's own needs: `requirements-app.txt`."""

import contextlib

from erc.options import UserError


@contextlib.contextmanager
def needs(package):
    """Imports in this block need a package of requirements-app.txt.

    Raises:
        UserError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{package} is not installed ({error.name} is missing); pip install -r requirements-app.txt"
        ) from None
