#!/usr/bin/env bash
# Does zoofast pass with the newest packages there are, the upper bounds of settings.ini left aside? For a scheduled job, once a week. Last line: N passed, N failed.
#   tools/newest.sh                     everything
#   tools/newest.sh nbs/24b_export.ipynb nbs/20_learner.ipynb    these notebooks
#   PYTHON=python3.13 PRE=1 tools/newest.sh                      another Python; release candidates too
# It says which packages are above the bounds (raise them when all passes) and which faults of others are mended (then a detour may go).
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 ZOOFAST_PROGRESS=0 MPLBACKEND=Agg WANDB_MODE=offline WANDB_SILENT=true PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
unset PYTHONPATH ZOOFAST_DATA
mkdir "$tmp/repo" && git archive HEAD | tar x -C "$tmp/repo" && cd "$tmp/repo" && git init -q . && git add -A || exit 1

names() {   # requirements of settings.ini without their bounds
  python3 - <<'P'
import configparser, re
c = configparser.ConfigParser(delimiters=['='], interpolation=None); c.read('settings.ini')
print(*sorted({re.match(r'[\w.-]+(\[[\w,]+\])?', r)[0] for k in ('requirements','dev_requirements') for r in c['DEFAULT'][k].split()}))
P
}
above() {   # installed versions that settings.ini does not allow
  python - <<'P'
import configparser
from importlib.metadata import version
from packaging.requirements import Requirement
c = configparser.ConfigParser(delimiters=['='], interpolation=None); c.read('settings.ini')
for r in {str(r):r for k in ('requirements','dev_requirements') for r in map(Requirement, c['DEFAULT'][k].split())}.values():
    if not r.specifier.contains(v := version(r.name), prereleases=True): print(f'beyond the bounds: {r.name} {v} (settings.ini: {r.specifier})')
P
}
echo "== the newest of everything"
${VENV:+true} "${PYTHON:-python3}" -m venv "$tmp/venv" || exit 1
PATH=${VENV:-$tmp/venv}/bin:$PATH
if [[ -z ${VENV:-} ]]; then
  # shellcheck disable=SC2046
  pip install -q -U ${PRE:+--pre} $(names) && pip install -q --no-deps -e . || { echo 'the newest packages do not go together'; echo '0 passed, 1 failed'; exit 1; }
else export PYTHONPATH=$PWD; fi
python --version; above

echo "== the notebooks"
python tools/nbtest.py --n-workers 2 "$@" 2>&1 | tee "$tmp/log"

echo "== faults of others"
jupyter nbconvert --to notebook --execute --stdout nbs/reliability/09_upstream.ipynb 2>/dev/null | python -c '
import json, sys
for c in json.load(sys.stdin)["cells"]:
    for o in c.get("outputs", ()):
        if o.get("name")=="stdout": print("".join(o["text"]), end="")'
tail -n 1 "$tmp/log"
[[ $(tail -n 1 "$tmp/log") =~ ^[1-9][0-9]*\ passed,\ 0\ failed$ ]]
