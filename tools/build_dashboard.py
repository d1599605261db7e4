#!/usr/bin/env python3
"""Build the dashboard with npm, for CMake.

    python3 tools/build_dashboard.py dashboard build/dashboard

Installs the packages of package-lock.json first, unless they are installed. Folders of several
builds may be made at the same time: they take turns.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys


def packages(path):
    with open(path, encoding="utf-8") as file:
        return {name: package for name, package in json.load(file)["packages"].items() if name}


def is_installed(dashboard):
    """Whether node_modules is what package-lock.json says. npm notes there what it has installed;
    packages for other machines are optional and left out."""
    wanted = packages(os.path.join(dashboard, "package-lock.json"))
    try:
        installed = packages(os.path.join(dashboard, "node_modules", ".package-lock.json"))
    except FileNotFoundError:
        return False
    for name, package in installed.items():
        if wanted.get(name, {}).get("version") != package.get("version"):
            return False
    return all(name in installed or package.get("optional") for name, package in wanted.items())


def main(arguments):
    parser = argparse.ArgumentParser(description="Build the dashboard with npm.")
    parser.add_argument("dashboard", metavar="FOLDER")
    parser.add_argument("out", metavar="OUT", help="the folder that the page goes into")
    parser.add_argument("--npm", default="npm")
    options = parser.parse_args(arguments)

    with open(os.path.join(options.dashboard, "package-lock.json"), encoding="utf-8") as turns:
        fcntl.flock(turns, fcntl.LOCK_EX)
        try:
            if not is_installed(options.dashboard):
                subprocess.run(
                    [options.npm, "ci", "--no-audit", "--no-fund", "--loglevel", "error"],
                    cwd=options.dashboard,
                    check=True,
                )
            subprocess.run(
                [
                    os.path.join("node_modules", ".bin", "vite"),
                    "build",
                    "--outDir",
                    os.path.abspath(options.out),
                    "--emptyOutDir",
                    "--logLevel",
                    "warn",
                ],
                cwd=options.dashboard,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            print(
                f"{error}\nTo build runtree without its dashboard: cmake -DRUNTREE_DASHBOARD=OFF",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
