"""The Tiltfile executed by a Starlark interpreter: Tilt's functions record what they are called with."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import starlark
import yaml

from tests.support.process import require_tool

# Values that Tilt builds are plain dicts here, so that a test can look into them.
_PRELUDE = """
TRIGGER_MODE_MANUAL = "manual"
TRIGGER_MODE_AUTO = "auto"
config = struct(define_string = config_define_string, parse = config_parse)
"""
_BUILDERS = (
    "sync",
    "run",
    "probe",
    "http_get_action",
    "tcp_socket_action",
    "exec_action",
    "link",
    "port_forward",
)
_POSITIONAL = {
    "sync": ("local", "remote"),
    "run": ("cmd",),
    "link": ("url", "name"),
    "port_forward": ("local_port", "container_port"),
}


@dataclass
class Tilt:
    """What a Tiltfile asked for."""

    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    local_resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    k8s_resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Every name that `resource_deps` may use."""
        renamed = {more.get("new_name") or name for name, more in self.k8s_resources.items()}
        return renamed | set(self.local_resources)


def load_tiltfile(path: Path, **settings: str) -> Tilt:
    """Execute `path` with `tilt up -- --NAME=VALUE ...`.

    Raises:
        starlark.StarlarkError: it is not valid, or it failed.
    """
    tilt = Tilt()
    module = starlark.Module()
    for name, function in _functions(tilt, path.parent, settings).items():
        module.add_callable(name, function)
    available = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
    dialect = starlark.Dialect.extended()
    for name, text in (("prelude", _PRELUDE), (path.name, path.read_text())):
        starlark.eval(module, starlark.parse(name, text, dialect), available)
    return tilt


def _functions(tilt: Tilt, root: Path, settings: dict[str, str]) -> dict[str, Any]:
    def build(kind: str) -> Any:
        def make(*arguments: Any, **named: Any) -> dict[str, Any]:
            return {"kind": kind, **dict(zip(_POSITIONAL.get(kind, ()), arguments, strict=False)), **named}

        return make

    def docker_build(ref: str, context: str, **more: Any) -> None:
        tilt.images[ref] = {"context": context, **more}

    def local_resource(name: str, **more: Any) -> None:
        assert name not in tilt.local_resources, f"{name} twice"
        tilt.local_resources[name] = more

    def k8s_resource(workload: str, **more: Any) -> None:
        assert workload not in tilt.k8s_resources, f"{workload} twice"
        tilt.k8s_resources[workload] = more

    def k8s_kind(kind: str, **more: Any) -> None:
        tilt.kinds[kind] = more

    def kustomize(folder: str) -> str:
        command = [require_tool("kubectl"), "kustomize", str(root / folder)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def decode_yaml_stream(text: str) -> list[Any]:
        return [item for item in yaml.safe_load_all(text) if item]

    def k8s_yaml(text: str) -> None:
        tilt.objects += decode_yaml_stream(text)

    def fail(message: str) -> None:
        raise ValueError(message)

    functions = {name: build(name) for name in _BUILDERS}
    return functions | {
        "docker_build": docker_build,
        "local_resource": local_resource,
        "k8s_resource": k8s_resource,
        "k8s_kind": k8s_kind,
        "kustomize": kustomize,
        "decode_yaml_stream": decode_yaml_stream,
        "encode_yaml_stream": yaml.safe_dump_all,
        "k8s_yaml": k8s_yaml,
        "fail": fail,
        "fall_back_on": lambda paths: {"kind": "fall_back_on", "paths": paths},
        "config_define_string": lambda *_arguments, **_named: None,
        "config_parse": lambda: settings,
    }
