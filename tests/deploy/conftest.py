"""What asks a binary of others is only tested where that is."""

import shutil

_NEEDS = {"test_balancer.py": "haproxy", "test_kustomize.py": "kubectl"}
collect_ignore = [name for name, binary in _NEEDS.items() if not shutil.which(binary)]
