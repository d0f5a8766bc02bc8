"""Whether the four folders beside this one are here too, under coachc's name: links in a checkout, copies in a wheel.

Imports nothing of ours and is 3.6-clean, so that whatever starts can ask first.
"""

import os

#: Imported as `coachc.passes` and so on.
FOLDERS = ("passes", "calib", "runtime", "models")
HERE = os.path.dirname(os.path.abspath(__file__))


def missing_links(package: str = HERE) -> str:
    """One message about the folders that are not here and how to get them; empty where all are.

    Git writes a link as a file with the link's target where the checkout may not have links, as on Windows unless it is
    told otherwise; so do archives of a repository.

    Parameters
    ----------
    package : str
        The folder `coachc`.
    """
    absent = [name for name in FOLDERS if not os.path.isfile(os.path.join(package, name, "__init__.py"))]
    if not absent:
        return ""
    paths = " ".join("coachc/" + name for name in absent)
    found = ", ".join(_found(os.path.join(package, name)) for name in absent)
    return f"""\
error[checkout]: each of {paths} should be a link to the folder of that name beside coachc/
  in          {os.path.dirname(package)}
  found       {found}
  hint        git config core.symlinks true && git checkout -- {paths}
              (on Windows with Developer Mode on; then install coachc again)"""


def _found(path: str) -> str:
    if os.path.islink(path):
        return "a link to nothing"
    return "a file" if os.path.isfile(path) else "a folder that is no package" if os.path.isdir(path) else "nothing"
