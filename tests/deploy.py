#!/usr/bin/env python3
"""Looks at rendered manifests (a directory), at the chart's values, at deploy/compose and at derived files.

Needs PyYAML; uses kubernetes-validate and jsonschema where they are, and says where they are not.
"""
import pathlib
import subprocess
import sys
import warnings

import yaml

root = pathlib.Path(__file__).resolve().parent.parent
problems = []
VERSION = "1.31"
NOT_KUBERNETES = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


def wrong(where, what):
    problems.append(f"{where}: {what}")


def validator():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import kubernetes_validate
    except ImportError:
        print("    kubernetes-validate is not here: manifests are not held against the schema")
        return None

    def validate(where, document):
        try:
            kubernetes_validate.validate(document, VERSION, strict=True)
        except Exception as error:
            wrong(where, str(error).splitlines()[0])

    return validate


def larder_containers(document):
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    for kind in ("initContainers", "containers"):
        for container in pod.get(kind, []):
            if container["name"] == "larder":
                yield kind, container, pod


def look_at_container(where, kind, container, pod):
    if kind == "initContainers" and container.get("restartPolicy") != "Always":
        wrong(where, "an init container without restartPolicy Always is no sidecar: the application would never start")
    for probe, path in (("startupProbe", "/startup"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        if container.get(probe, {}).get("httpGet", {}).get("path") != path:
            wrong(where, f"{probe} is not {path}")
    security = container.get("securityContext", {})
    for key, value in {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }.items():
        if security.get(key) != value:
            wrong(where, f"securityContext.{key} is {security.get(key)}")
    if not isinstance(security.get("runAsUser"), int) or security["runAsUser"] == 0:
        wrong(where, "runAsUser is no number of an unprivileged user")
    if "memory" not in container.get("resources", {}).get("limits", {}):
        wrong(where, "no limit of memory: the cache is sized by it")
    if "lifecycle" in container:
        wrong(where, "a preStop hook: SIGTERM drains")
    variables = {entry["name"]: entry for entry in container.get("env", [])}
    if "secretKeyRef" not in variables.get("LARDER_UPSTREAM__URL", {}).get("valueFrom", {}):
        wrong(where, "the connection string is not from a Secret")
    listens = variables.get("LARDER_LISTEN__ADDRESS", {}).get("value", "")
    if kind == "initContainers" and not listens.startswith("127.0.0.1:"):
        wrong(where, f"a sidecar that listens on {listens} is open to other pods")
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    there = {volume["name"] for volume in pod.get("volumes", [])}
    if not mounted <= there:
        wrong(where, f"no volumes {sorted(mounted - there)}")


def references(documents):
    """Secrets and ConfigMaps that are referred to and made here must be the ones that are made."""
    made = {(d["kind"], d["metadata"]["name"]) for d in documents}
    for document in documents:
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        for volume in pod.get("volumes", []):
            name = volume.get("configMap", {}).get("name")
            if name and ("ConfigMap", name) not in made:
                yield f"no ConfigMap {name}"


def look_at_manifests(directory):
    validate = validator()
    for path in sorted(directory.glob("*.yaml")):
        documents = [d for d in yaml.safe_load_all(path.read_text()) if d]
        if not documents:
            wrong(path.name, "is empty")
        found = 0
        for document in documents:
            where = f"{path.name}: {document['kind']} {document['metadata']['name']}"
            if document["kind"] in NOT_KUBERNETES:
                look_at_monitoring(where, document)
            elif validate:
                validate(where, document)
            for kind, container, pod in larder_containers(document):
                found += 1
                look_at_container(where, kind, container, pod)
            for text in toml_of(document):
                look_at_configuration(where, text)
        for what in references(documents):
            wrong(path.name, what)
        if not found and "sidecar-values" not in path.name:
            wrong(path.name, "has no Larder")


def toml_of(document):
    if document["kind"] == "ConfigMap":
        yield from (text for name, text in document["data"].items() if name.endswith(".toml"))


def look_at_configuration(where, text):
    """Larder's own judgement, where it is built."""
    larder = next((p for p in (root / "target/debug/larder", root / "target/release/larder") if p.exists()), None)
    if larder is None:
        return
    file = root / "target/deploy/larder.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    said = subprocess.run(
        [larder, "check", "--config", file, "--upstream", "postgres://a:b@127.0.0.1:1/c"], capture_output=True, text=True
    )
    if said.returncode == 2:
        wrong(where, said.stderr.strip())


def look_at_monitoring(where, document):
    spec = document["spec"]
    endpoints = spec.get("podMetricsEndpoints", spec.get("endpoints", []))
    if document["kind"] == "PrometheusRule":
        rules = [rule for group in spec["groups"] for rule in group["rules"]]
        if not rules or not all("alert" in rule and "expr" in rule for rule in rules):
            wrong(where, "has no alerts")
    elif [e.get("port") for e in endpoints] != ["larder-admin"] or not spec["selector"].get("matchLabels"):
        wrong(where, "does not scrape larder-admin")


def look_at_values():
    try:
        import jsonschema
    except ImportError:
        print("    jsonschema is not here: the chart's values are not held against their schema")
        return
    import copy
    import json

    chart = root / "deploy/helm/larder"
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    judge = jsonschema.Draft7Validator(schema)
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    if set(defaults) | {"global"} != set(schema["properties"]):
        wrong("values.yaml", "has other keys than values.schema.json")
    for path in [chart / "values.yaml", *sorted((chart / "ci").glob("*.yaml"))]:
        for error in judge.iter_errors(yaml.safe_load(path.read_text()) or {}):
            wrong(path.name, error.message)
    for bad in ({"standalon": False}, {"ports": {"clients": "6432", "admin": 9432}}, {"image": {"repository": ""}}):
        values = {**copy.deepcopy(defaults), **bad}
        if judge.is_valid(values):
            wrong("values.schema.json", f"takes {bad}")


def look_at_compose():
    directory = root / "deploy/compose"
    compose = yaml.safe_load((directory / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        depends = service.get("depends_on", {})
        for other in depends:
            if other not in services:
                wrong("compose", f"{name} waits for {other}, which is not there")
            condition = depends[other].get("condition") if isinstance(depends, dict) else None
            if condition == "service_healthy" and "healthcheck" not in services[other]:
                wrong("compose", f"{name} waits for the health of {other}, which has none")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (directory / source).resolve().exists():
                    wrong("compose", f"{name} mounts {source}, which is not there")
            elif source not in compose["volumes"]:
                wrong("compose", f"{name} mounts {source}, which is not declared")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                wrong("compose", f"{name} is published to the world: {port}")
    larder = services["larder"]
    if not larder.get("read_only") or larder.get("user", "0").startswith("0") or larder.get("cap_drop") != ["ALL"]:
        wrong("compose", "larder may more than it needs")
    look_at_configuration("compose", (directory / "larder.toml").read_text())
    yaml.safe_load((directory / "prometheus/prometheus.yml").read_text())


look_at_manifests(pathlib.Path(sys.argv[1]))
look_at_values()
look_at_compose()
derived = subprocess.run([sys.executable, root / "scripts/rules.py"], capture_output=True, text=True)
if derived.returncode:
    wrong("deploy", (derived.stdout + derived.stderr).strip())
for problem in problems:
    print(problem)
sys.exit(bool(problems))
