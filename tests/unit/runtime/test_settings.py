"""The configuration: a small file with its defaults, the environment, errors as one line each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dimse_mesh.runtime.settings import ZoneSettings, dump_complete, load_settings
from dimse_mesh.runtime.settings_errors import ConfigurationError, without_password
from dimse_mesh.schemas.service import HANDLERS, ServiceName

EXAMPLE = """
zone: hospital
subject_root: DIMSE
nats:
  servers: [nats://127.0.0.1:4222]
association:
  listeners:
    - {host: 127.0.0.1, port: 11112}
scu:
  remote_aes:
    - {ae_title: PACS, host: 127.0.0.1, port: 11113}
routes:
  - {called: "*", calling: "*", to: {ae: ARCHIVE}, delivery: live}
"""


HOOK = "{{zone: a, routes: [{{to: {{ae: A}}, delivery: durable, hooks: [{}]}}]}}"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zone.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, text))
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def test_a_small_window_wants_no_smaller_chunks_to_be_named(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "{zone: a, mesh: {window: 262144}}"))
    assert settings.mesh.window == 262144


def test_design_example_is_accepted(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, EXAMPLE))
    assert settings.zone == "hospital"
    assert settings.association.listeners[0].port == 11112
    assert settings.scu.remote_aes[0].ae_title == "PACS"
    assert settings.routes[0].to is not None
    assert settings.routes[0].to.ae == "ARCHIVE"


def test_zone_alone_has_defaults_for_everything_else(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "zone: a"))
    assert settings.subject_root == "DIMSE"
    assert settings.association.max_associations == 4096
    assert settings.instances.of(ServiceName.QUERY_RETRIEVE) == 1


def test_a_hosted_handler_has_no_process_of_its_own_unless_that_is_asked_for(tmp_path: Path) -> None:
    text = "zone: a\nassociation: {hosted_handlers: [store]}\nscu: {hosted_handlers: [n_service]}\n"
    settings = load_settings(write(tmp_path, text))
    assert settings.hosted_by(ServiceName.ASSOCIATION) == (ServiceName.STORE,)
    assert settings.hosted_by(ServiceName.STORE) == ()
    assert [settings.processes.of(service) for service in HANDLERS] == [0, 1, 0]
    beside = load_settings(write(tmp_path, text + "instances: {store: 2}\n"))
    assert [beside.processes.of(service) for service in HANDLERS] == [2, 1, 0]
    for_all = load_settings(
        write(tmp_path, text.replace("{hosted", "{reuse_port: true, hosted", 1) + "instances: 3\n")
    )
    assert [for_all.processes.of(service) for service in ServiceName] == [3, 0, 3, 0, 3, 0]
    assert "stands here twice" in problems(tmp_path, "zone: a\nscu: {hosted_handlers: [store, store]}")[0]
    assert "hosted_handlers" in problems(tmp_path, "zone: a\nscu: {hosted_handlers: [scu]}")[0]


def test_what_check_prints_starts_the_same_processes(tmp_path: Path) -> None:
    text = "zone: a\nassociation: {hosted_handlers: [store, n_service]}\ninstances: {n_service: 2}\n"
    settings = load_settings(write(tmp_path, text))
    printed = dump_complete(settings)
    assert yaml.safe_load(printed)["instances"] == {
        "association": 1,
        "store": 0,
        "query_retrieve": 1,
        "n_service": 2,
        "scu": 1,
        "delivery": None,
    }
    assert load_settings(write(tmp_path, printed)).processes == settings.processes


NAMING = (
    EXAMPLE
    + """
events: {enabled: true}
policy: {admission: [{effect: permit}, {effect: deny, listeners: [11112, %(port)s]}]}
delivery: {pace: [{ae: %(ae)s}]}
priors: {rules: [{pacs: VNA, to: VIEWER, arriving_at: [%(ae)s]}]}
"""
)


def test_what_one_setting_names_another_one_holds(tmp_path: Path) -> None:
    load_settings(write(tmp_path, NAMING % {"port": 11112, "ae": "PACS"}))
    path = tmp_path / "zone.yaml"
    assert problems(tmp_path, NAMING % {"port": 11122, "ae": "PASC"}) == [
        f"{path}: policy.admission[1].listeners: 11122 is none of the ports of association.listeners; "
        "did you mean '11112'? there are: 11112",
        f"{path}: delivery.pace[0].ae: 'PASC' is none of scu.remote_aes; did you mean 'PACS'? there are: PACS",
        f"{path}: priors.rules[0].arriving_at: 'PASC' is none of scu.remote_aes; "
        "did you mean 'PACS'? there are: PACS",
    ]


def test_a_reference_to_a_list_that_is_empty_says_so(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "zone: a\npolicy: {admission: [{effect: deny, listeners: [104]}]}")
    assert line.endswith("listeners: 104 is none of the ports of association.listeners; there are: none")


def test_a_route_to_its_own_zone_needs_a_default_ae_there(tmp_path: Path) -> None:
    text = "{zone: a, scu: {remote_aes: [{ae_title: A, host: h, port: 1%s}]}, routes: [{to: {zone: a}}]}"
    load_settings(write(tmp_path, text % ", default: true"))
    (line,) = problems(tmp_path, text % "")
    assert "routes[0].to: zone 'a' is this zone, and none of scu.remote_aes is its default" in line
    load_settings(write(tmp_path, "{zone: a, routes: [{to: {zone: a}}]}"))  # as a front-end's own file


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMSE_MESH_SUBJECT_ROOT", "OTHER.ROOT")
    monkeypatch.setenv("DIMSE_MESH_ASSOCIATION__OPEN_TIMEOUT", "7.5")
    monkeypatch.setenv("DIMSE_MESH_NATS__SERVERS", '["nats://127.0.0.1:5"]')
    monkeypatch.setenv(
        "DIMSE_MESH_SCU__REMOTE_AES", '[{"ae_title": "X", "host": "127.0.0.1", "port": 1, "default": true}]'
    )
    settings = load_settings(write(tmp_path, EXAMPLE))
    assert settings.subject_root == "OTHER.ROOT"
    assert settings.association.open_timeout == 7.5
    assert settings.association.listeners[0].port == 11112
    assert settings.nats.servers == ["nats://127.0.0.1:5"]
    assert settings.scu.default_ae is not None
    assert settings.scu.default_ae.ae_title == "X"


def test_wrong_value_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIMSE_MESH_ASSOCIATION__OPEN_TIMEOUT", "soon")
    (line,) = problems(tmp_path, EXAMPLE)
    assert "environment variable DIMSE_MESH_ASSOCIATION__OPEN_TIMEOUT" in line
    assert "'soon'" in line


def test_a_variable_of_a_field_that_there_is_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIMSE_MESH_DELIVERY__REATRY__ATTEMPTS", "0")
    (line,) = problems(tmp_path, EXAMPLE)
    assert line.startswith(
        "environment variable DIMSE_MESH_DELIVERY__REATRY__ATTEMPTS: delivery.reatry: unknown"
    )
    assert "did you mean 'retry'?" in line


def test_a_variable_of_a_section_that_there_is_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... as it is in a file: a rule that nobody reads protects nobody."""
    monkeypatch.setenv("DIMSE_MESH_POLCIY__ADMISSION", '[{"effect": "deny"}]')
    (line,) = problems(tmp_path, EXAMPLE)
    assert line.startswith("environment variable DIMSE_MESH_POLCIY__ADMISSION: no section 'polciy'")
    assert "did you mean DIMSE_MESH_POLICY__...?" in line


def test_variables_that_somebody_else_has_made_are_let_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIMSE_MESH_PORT", "tcp://10.0.0.1:11112")
    monkeypatch.setenv("DIMSE_MESH_SERVICE_HOST", "10.0.0.1")
    load_settings(write(tmp_path, EXAMPLE))


def test_environment_that_is_no_json_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMSE_MESH_ASSOCIATION__LISTENERS", "[nonsense")
    (line,) = problems(tmp_path, EXAMPLE)
    assert line == (
        "environment variable DIMSE_MESH_ASSOCIATION__LISTENERS: lists and sections are written as JSON"
    )


def test_misspelt_field_names_file_field_and_the_close_match(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "zone: a\nasociation: {}\n")
    assert line.startswith(f"{tmp_path / 'zone.yaml'}: asociation: unknown field")
    assert "did you mean 'association'?" in line


def test_misspelt_nested_field_lists_what_is_allowed(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "zone: a\nscu: {remote_aes: [{ae_title: A, host: h, port: 1, tsl: {}}]}\n")
    assert "scu.remote_aes[0].tsl: unknown field; did you mean 'tls'?" in line
    assert "association_timeout" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "zone: required, but not given"),
        ("zone: 'a b'", "zone: given 'a b': a name is one or more printable characters"),
        ("{zone: a, subject_root: 'x.*'}", "subject_root: given 'x.*'"),
        ("{zone: a, subject_root: $SYS}", "belong to NATS"),
        (
            "{zone: a, association: {listeners: [{port: 70000}]}}",
            "association.listeners[0].port: given 70000: input should be less than or equal to 65535",
        ),
        ("{zone: a, association: {listeners: [{port: 1}, {port: 1}]}}", "port 1 stands in two listeners"),
        ("{zone: a, spool: {replicas: 2}}", "spool.replicas: given 2: 1, 3 or 5"),
        (
            "{zone: a, spool: {high_water: {spool_share: 0.5, margin: 0.5}}}",
            "margin: less than spool_share (0.5)",
        ),
        (
            "{zone: a, spool: {high_water: {disk_share: 0.5, margin: 0.6}}}",
            "margin: less than disk_share (0.5)",
        ),
        (
            "{zone: a, audit: {directory: /a, repository: {host: h, protocol: udp, tls: {server_name: h}}}}",
            "audit.repository: tls: with protocol: udp nothing is encrypted",
        ),
        (
            "{zone: a, routes: [{to: {ae: A}, delivery: durable, accepts: []}]}",
            "routes[0]: accepts: an empty list takes nothing at all",
        ),
        (
            "{zone: a, routes: [{to: {ae: A}, accepts: [{transfer_syntaxes: ['1.2']}]}]}",
            "routes[0]: accepts needs delivery: durable",
        ),
        (
            "{zone: a, routes: [{to: {ae: A}, delivery: durable, hooks: [{cpy: {}}]}]}",
            "did you mean 'copy'? allowed: copy, deidentify",
        ),
        (
            "{zone: a, association: {listeners: [{port: 1}, {port: 1, host: 0.0.0.0}]}}",
            "port 1 stands in two listeners",
        ),
        (
            "{zone: a, association: {listeners: [{port: 1, ae_titles: [A, 'A ']}]}}",
            "AE title 'A' stands here 2 times",
        ),
        ("{zone: a, scu: {remote_aes: [{ae_title: A, host: h, port: x}]}}", "port: given 'x'"),
        (
            "{zone: a, scu: {remote_aes: [{ae_title: A, host: h, port: 1},"
            " {ae_title: A, host: h, port: 2}]}}",
            "AE title 'A' stands here 2 times",
        ),
        (
            "{zone: a, scu: {remote_aes: [{ae_title: A, host: h, port: 1, default: true},"
            " {ae_title: B, host: h, port: 2, default: true}]}}",
            "one AE may be the default, here are 2: A, B",
        ),
        (
            "{zone: a, scu: {remote_aes: [{ae_title: A2345678901234567, host: h, port: 1}]}}",
            "at most 16 characters, this one has 17",
        ),
        ("{zone: a, scu: {remote_aes: [{ae_title: 'A\\B', host: h, port: 1}]}}", "no backslash"),
        ('{zone: a, scu: {remote_aes: [{ae_title: "A\\tB", host: h, port: 1}]}}', "printable ASCII"),
        (
            "{zone: a, scu: {remote_aes: [{ae_title: A, host: h, port: 1, tls: {ca: /nowhere/ca.pem}}]}}",
            "tls.ca: given '/nowhere/ca.pem': there is no such file",
        ),
        ("{zone: a, routes: [{delivery: durable}]}", "a durable route names its destination"),
        ("{zone: a, routes: [{to: [{ae: A}, {ae: B}]}]}", "several destinations need delivery: durable"),
        ("{zone: a, routes: [{to: {ae: A, zone: b}}]}", "either {ae: TITLE} or {zone: NAME}"),
        ("{zone: a, routes: [{to: {}}]}", "either {ae: TITLE} or {zone: NAME}"),
        ("{zone: a, routes: [{allow: [C-STOR]}]}", "'C-STORE'"),
        ("{zone: a, mesh: {window: 262144, chunk_size: 262144}}", "at least twice chunk_size"),
        ("{zone: a, instances: {association: 2}}", "association.reuse_port"),
        ("{}", "zone: required, but not given: name of the zone"),
        ("{zone: a, association: {idle_timeout: 30s}}", "given '30s': a number is wanted: seconds without"),
        ("{zone: a, spool: {max_bytes: 10GB}}", "given '10GB': a whole number is wanted: bytes kept"),
        (
            "{zone: a, association: {listeners: {port: 104}}}",
            "association.listeners: given a mapping: a list is wanted: addresses to listen on",
        ),
        ("{zone: a, routes: [{to: PACS}]}", "routes[0].to: given 'PACS': a mapping is wanted, with ae, zone"),
        ("{zone: a, nats: {servers: n}}", "nats.servers: given 'n': a list is wanted"),
        (
            HOOK.format("{set: {PatientName: [a, {b: c}]}}"),
            "routes[0].hooks[0].set.PatientName[1]: given a mapping: text is wanted: values by attribute",
        ),
        (
            HOOK.format("{set: {LossyImageCompression: true}}"),
            "hooks[0].set: true and false are no values of DICOM",
        ),
        (
            HOOK.format("{set: {'(0019,OURS,01)': {vr: LO, value: a, valu: b}}}"),
            "hooks[0].set.(0019,OURS,01).valu: unknown field; did you mean 'value'? allowed: value, vr",
        ),
        (
            "{zone: a, encryption: {keys: /k, zones: {cloud: KEY}}}",
            "zones.cloud[0]: given 'KEY': text of another form is wanted (^[A-Za-z0-9+/]{43}=$): public keys of",
        ),
        (
            "{zone: a, encryption: {keys: /k, zones: {cloud: {file: /k, fiel: b}}}}",
            "encryption.zones.cloud.fiel: unknown field; did you mean 'file'? allowed: file",
        ),
    ],
)
def test_wrong_value_is_one_line_that_says_what_is_allowed(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(str(tmp_path / "zone.yaml"))
    assert expected in line


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    lines = problems(tmp_path, "{zone: 'a b', scu: {max: 1}, association: {artim_timeout: 0}}")
    assert len(lines) == 3


def test_secrets_never_stand_in_errors_or_dumps(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "{zone: a, nats: {token: [s3cret]}}")
    assert "s3cret" not in line
    text = "{zone: a, nats: {user: u, password: s3cret, servers: ['nats://me:s3cret@127.0.0.1:4222']}}"
    dump = dump_complete(load_settings(write(tmp_path, text)))
    assert "s3cret" not in dump
    assert "nats://***@127.0.0.1:4222" in dump


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"zone: [", "not YAML at line"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"- a", "the file holds a list"),
        (b"", "the file is empty"),
    ],
)
def test_file_that_is_no_mapping_is_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "zone.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected):
        load_settings(path)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: can't be read: No such file"):
        load_settings(tmp_path / "none.yaml")


def test_dump_is_complete_and_loads_again(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, EXAMPLE))
    dump = dump_complete(settings)
    assert set(yaml.safe_load(dump)) == set(ZoneSettings.model_fields)
    assert load_settings(write(tmp_path, dump)) == settings


def test_every_field_has_a_description() -> None:
    from dimse_mesh.runtime.settings_errors import _model_in

    def walk(name: str, model: type) -> None:
        for field, info in getattr(model, "model_fields", {}).items():
            assert info.description or name.startswith("nats"), f"{name}.{field}"
            inner = _model_in(info.annotation)
            if inner is not None:
                walk(field, inner)

    walk("zone", ZoneSettings)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://user:p@ss@host:4222", "nats://***@host:4222"),
        ("nats://user:a/b?c#d@host:4222", "nats://***@host:4222"),
        ("wss://host/path?token=secret", "wss://host/path?***"),
        ("wss://host/path#secret", "wss://host/path#***"),
        ("['nats://u:secret@a', 'tls://b']", "['nats://***@a', 'tls://b']"),
        ("nats://host:4222", "nats://host:4222"),
    ],
)
def test_no_part_of_a_secret_in_a_url_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_list_of_nothing_but_mistakes_is_not_called_empty(tmp_path: Path) -> None:
    window = "{start: '08:00', end: '09:00', days: [monday]}"
    text = "zone: a\nscu: {remote_aes: [{ae_title: A, host: h, port: 1}]}\n"
    (line,) = problems(tmp_path, f"{text}delivery: {{pace: [{{ae: A, windows: [{window}]}}]}}\n")
    assert "windows[0].days[0]: given 'monday'" in line
