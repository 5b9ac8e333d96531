#!/usr/bin/env python3
"""Makes of deploy/prometheus/larder.rules.yml what Kubernetes wants: a PrometheusRule, and the chart's copy.

Without --update nothing is written: exit code 1 where something differs.
"""
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
source = root / "deploy/prometheus/larder.rules.yml"
HEAD = """\
# Made of deploy/prometheus/larder.rules.yml: scripts/rules.py --update
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: larder
spec:
"""


def main():
    rules = source.read_text()
    groups = rules[rules.index("groups:"):]
    indented = "".join("  " + line if line.strip() else line for line in groups.splitlines(True))
    made = {
        "deploy/kustomize/monitoring/rules/prometheusrule.yaml": HEAD + indented,
        "deploy/helm/larder/files/larder.rules.yml": "# Made of deploy/prometheus/larder.rules.yml: scripts/rules.py --update\n" + groups,
    }
    differs = False
    for name, text in made.items():
        path = root / name
        if path.exists() and path.read_text() == text:
            continue
        if "--update" in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            print(f"{name} is not what {source.name} says: scripts/rules.py --update")
            differs = True
    return differs


sys.exit(main())
