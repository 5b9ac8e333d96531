#!/usr/bin/env python3
"""The bill of materials of the program: CycloneDX 1.5, of what `cargo metadata` says is linked into it.

Normal and build dependencies of the default features, for one target (SBOM_TARGET; default: this machine's); no test's.
The same lock file gives the same file: no time and no random number is in it, unless SOURCE_DATE_EPOCH is set.
"""
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import uuid

root = pathlib.Path(__file__).resolve().parent.parent


def run(*words):
    return subprocess.run(words, cwd=root, check=True, capture_output=True, text=True).stdout


def target():
    host = next(line for line in run("rustc", "-vV").splitlines() if line.startswith("host: "))
    return os.environ.get("SBOM_TARGET", host.split(" ")[1])


def checksums():
    found = {}
    for block in (root / "Cargo.lock").read_text().split("[[package]]"):
        fields = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line and not line.startswith(" "))
        if "checksum" in fields:
            found[fields["name"].strip('"'), fields["version"].strip('"')] = fields["checksum"].strip('"')
    return found


def reachable(nodes, start):
    wanted = lambda dep: any(kind["kind"] in (None, "build") for kind in dep["dep_kinds"])
    seen, todo = {}, [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen[name] = sorted(dep["pkg"] for dep in nodes[name]["deps"] if wanted(dep))
            todo.extend(seen[name])
    return seen


def component(package, sums, kind):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    made = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package.get("description"):
        made["description"] = " ".join(package["description"].split())
    if package.get("license"):
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in sums:
        made["hashes"] = [{"alg": "SHA-256", "content": sums[name, version]}]
    if package.get("repository"):
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def main():
    triple = target()
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", triple))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    start = metadata["resolve"]["root"]
    linked = reachable(nodes, start)
    sums = checksums()
    ref = lambda name: f"pkg:cargo/{packages[name]['name']}@{packages[name]['version']}"
    digest = hashlib.sha256((root / "Cargo.lock").read_bytes() + triple.encode()).digest()
    about = {"component": component(packages[start], sums, "application"), "properties": [{"name": "cargo:target", "value": triple}]}
    if "SOURCE_DATE_EPOCH" in os.environ:
        when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
        about["timestamp"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
        "version": 1,
        "metadata": about,
        "components": sorted(
            (component(packages[name], sums, "library") for name in linked if name != start), key=lambda c: c["bom-ref"]
        ),
        "dependencies": sorted(
            ({"ref": ref(name), "dependsOn": sorted({ref(dep) for dep in deps})} for name, deps in linked.items()),
            key=lambda d: d["ref"],
        ),
    }
    path = root / "target/sbom.cdx.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(bom, indent=2) + "\n")
    print(f"{path.relative_to(root)}: {len(bom['components'])} components for {triple}")


main()
