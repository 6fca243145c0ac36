"""One real API server for the whole session, with the operator's rights and definitions in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster.api import Api, Namespace
from tests.support.cluster.control_plane import ControlPlane, control_plane
from tests.support.cluster.helm import helm_program
from tests.support.cluster.node import NAME, node
from tests.support.cluster.operator import SYSTEM, bind_operator, kubectl, rights_missed, start_operator
from tests.support.process import Child

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane and a node; the operator's account may look everywhere, and work where `namespace` binds it."""
    directory = tmp_path_factory.mktemp("control-plane")
    with control_plane(directory) as made, node(made.api):
        kubeconfig = directory / "admin.kubeconfig"
        kubectl(kubeconfig, "create", "namespace", SYSTEM)
        kubectl(kubeconfig, "apply", "--namespace", SYSTEM, "-k", "k8s/rbac")
        kubectl(kubeconfig, "apply", "-k", "k8s/rbac/looking")
        yield made


@pytest.fixture
def admin(plane: ControlPlane, tmp_path: Path) -> Path:
    """A kubeconfig that may do everything."""
    return plane.write_kubeconfig(tmp_path / "admin.kubeconfig")


@pytest.fixture(scope="session")
def api(plane: ControlPlane) -> Api:
    """The API server, for somebody who may do everything."""
    return plane.api


@contextmanager
def _made(api: Api) -> Iterator[Namespace]:
    name = f"zone-{next(_numbers)}"
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Namespace(api, name)
    for pod in api.list("Pod", namespace=name):
        if pod["spec"].get("nodeName", NAME) != NAME:
            # No kubelet ends it, and a namespace's pods go first: without this, nothing of the namespace would go.
            api.delete("Pod", pod["metadata"]["name"], namespace=name, gracePeriodSeconds="0")
    api.delete("Namespace", name)


@pytest.fixture
def namespace(api: Api) -> Iterator[Namespace]:
    """A new namespace that the operator may work in, deleted afterwards with all that is in it."""
    with _made(api) as made:
        bind_operator(api, made.name)
        yield made


@pytest.fixture
def unbound(api: Api) -> Iterator[Namespace]:
    """A new namespace of which nobody has told the operator, deleted afterwards."""
    with _made(api) as made:
        yield made


@pytest.fixture(scope="session")
def helm() -> str:
    """The helm program."""
    return helm_program()


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """The operator of the whole cluster."""
    with start_operator(plane, tmp_path_factory.mktemp("operator")) as child:
        yield child
        assert child.returncode is None, child.describe()
        # "... is forbidden: User ... cannot ...": RBAC. It is asserted here, for whatever the tests of a module did.
        assert rights_missed(child, plane.api) == []
