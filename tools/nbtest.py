#!/usr/bin/env python3
"""Run nbdev_test and say for each notebook whether it passed and how long it took; last line: N passed, N failed.

    python tools/nbtest.py [ARGUMENTS OF nbdev_test]
"""
import os, re, subprocess, sys, time
from pathlib import Path

def follow(args):
    "Start and end of each notebook as the workers report them, and the names that failed"
    p = subprocess.Popen(['nbdev_test', *args, '--do-print'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         env=os.environ | dict(PYTHONUNBUFFERED='1'))
    start,end,failed,tail = {},{},set(),False
    for l in p.stdout:
        if marks := re.findall(r'(Starting|- Completed) (.+?\.ipynb)', l):   # two workers may write into one line
            for what,nb in marks: (start if what=='Starting' else end)[nb] = time.time()
        else:
            if tail and (m := re.match(r'\t(.+\.ipynb)$', l)): failed.add(m[1])
            tail |= 'Failed On The Following' in l
            if l.strip()!='Success.': print(l, end='', flush=True)
    return p.wait(), start, {o: end[o]-start[o] for o in start if o in end}, failed

def main(args):
    t = time.time()
    rc,start,took,failed = follow(args)
    bad = [o for o in start if o not in took or Path(o).name in failed]
    for o in sorted(start, key=lambda o: -took.get(o, 1e9)):
        print(f"{'FAIL' if o in bad else 'ok  '} {os.path.relpath(o):40} {f'{took[o]:6.1f} s' if o in took else 'did not finish'}")
    lost = rc and not bad   # it failed before or outside of any notebook
    print(f'{time.time()-t:.0f} s in all')
    print(f'{len(start)-len(bad)} passed, {len(bad)+lost} failed')
    return bool(rc or bad or not start)

if __name__=='__main__': sys.exit(main(sys.argv[1:]))
