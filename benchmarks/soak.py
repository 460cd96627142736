#!/usr/bin/env python3
"""Does it hold for hours? Pack, train and predict in turns, each in a process of its own that is killed at random and started again until it is done.

    python benchmarks/soak.py --minutes 60 --json outputs/benchmarks/soak.json

What comes out must be what an undisturbed run gives, to the byte; beside it there may be no stray file, no orphaned process, and the memory of neither side may grow. Linux: it looks into /proc.
"""
import argparse, hashlib, json, os, random, shutil, signal, sys, tempfile, time, warnings
from collections import Counter
from pathlib import Path
TOKEN = f'zoofast-soak-{os.getpid()}'
os.environ.update(OMP_NUM_THREADS='1', ZOOFAST_PROGRESS='0', ZOOFAST_SOAK=TOKEN)
import numpy as np, torch
from PIL import Image
from safetensors.torch import load
from zoofast.core import sha256_file
from zoofast.data.camera import read_synth
from zoofast.data.items import items_from_folder
from zoofast.data.packing import write_store
from zoofast.data.splits import split_items
from zoofast.data.store import Store
from zoofast.data.synth import synth_items
from zoofast.ensemble import predict
from zoofast.learner import train
from zoofast.train.spec import Spec

spec = Spec(arch='test_resnet', size=32, bs=32, epochs=3, aug='rot', ema=.9)
ended = {signal.SIGKILL:'kill -9', signal.SIGTERM:'SIGTERM', signal.SIGINT:'Ctrl-C'}

def make(what, w, out):
    "One piece of work; `w` is where its input lies"
    if what=='pack': write_store(split_items(items_from_folder(w/'img'), valid=.2, test=.2), out/'a.zoo', workers=2, chunk=40, overwrite=True)
    if what=='train': train(spec, w/'ref/a.zoo', out=out/'model', checkpoint=out/'ckpt', show=False, overwrite=True)
    if what=='predict': predict(w/'img', w/'ref/model', out=out/'p.csv', bs=16, tta='d4', overwrite=True, progress=False)

def digest(what, out):
    "What the work came to, as a number"
    if what=='train': return hashlib.sha256(b''.join(k.encode()+v.numpy().tobytes() for k,v in sorted(load((out/'model/model.safetensors').read_bytes()).items()))).hexdigest()
    if what=='predict': return sha256_file(out/'p.csv')
    return hashlib.sha256(b''.join(f.name.encode()+f.read_bytes() for f in sorted((out/'a.zoo').iterdir()))).hexdigest()

def child(what, w, out, log):
    "The work in a process of its own"
    if pid := os.fork(): return pid
    os.setpgid(0, 0)
    f = os.open(log, os.O_WRONLY|os.O_CREAT|os.O_APPEND); os.dup2(f, 1); os.dup2(f, 2)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try: make(what, w, out); os._exit(0)
    except KeyboardInterrupt: os._exit(130)
    except SystemExit as e: os._exit(int(e.code or 0))
    except BaseException as e: print(f'{type(e).__name__}: {e}'); os._exit(1)

def orphans():
    "Processes of ours that live, without this one"
    res = []
    for o in filter(str.isdigit, os.listdir('/proc')):
        try: alive = TOKEN.encode() in Path(f'/proc/{o}/environ').read_bytes() and Path(f'/proc/{o}/stat').read_text().rsplit(') ', 1)[1][0]!='Z'
        except OSError: continue
        if alive and int(o)!=os.getpid(): res.append(int(o))
    return res

def gone(secs=10):
    "Wait for what is ending; what lives then is an orphan"
    t = time.time()
    while (o := orphans()) and time.time()-t<secs: time.sleep(.05)
    return o

def rss(): return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/1e6

def one_round(what, w, out, rng, longest, n):
    "Until the work is done; every second attempt is ended at a random time"
    tries = 0
    while True:
        tries += 1
        pid,t = child(what, w, out, w/'log.txt'),time.time()
        sig = rng.choice([signal.SIGKILL]*3+[signal.SIGTERM, signal.SIGINT]) if rng.random()<.6 and tries<20 else None
        until = t+rng.random()*longest if sig else t+600
        while not (r := os.wait4(pid, os.WNOHANG))[0]:
            if time.time()>until:
                if sig is None: os.kill(pid, signal.SIGKILL); os.wait4(pid, 0); raise SystemExit(f'{what} hangs')
                os.kill(pid, sig); r = os.wait4(pid, 0); n[ended[sig]] += 1; break
            time.sleep(.01)
        code = os.waitstatus_to_exitcode(r[1])
        if code==0: return tries,r[2].ru_maxrss/1e3,time.time()-t
        if sig is None or code==1: raise SystemExit(f'{what} ended with {code}: {(w/"log.txt").read_text()[-2000:]}')

def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument('--minutes', type=float, default=60.), ap.add_argument('--seed', type=int, default=0), ap.add_argument('--json'), ap.add_argument('--images', type=int, default=600)
    a = ap.parse_args()
    w,rng,n = Path(tempfile.mkdtemp(prefix='soak')),random.Random(a.seed),Counter()
    t = synth_items(a.images)
    for i,p,l in zip(t.id, t.path, t.label): (w/'img'/l).mkdir(parents=True, exist_ok=True); Image.fromarray(read_synth(p)).save(w/'img'/l/f'{i}.png')
    (w/'ref').mkdir(); want,took = {},{}
    for what in ('pack','train','predict'):
        t0 = time.time(); make(what, w, w/'ref'); want[what],took[what] = digest(what, w/'ref'),time.time()-t0
    shutil.rmtree(w/'ref/ckpt', ignore_errors=True)
    start,size,peak,bad = time.time(),[],{o:[] for o in want},[]
    while time.time()-start<a.minutes*60:
        what = rng.choice(list(want)); out = w/'out'
        if not out.exists() or rng.random()<.3: shutil.rmtree(out, ignore_errors=True); out.mkdir()
        tries,mb,_ = one_round(what, w, out, rng, took[what]*1.2, n)
        n[what] += 1; n['attempts'] += tries; peak[what].append(mb); size.append(rss())
        stray = [o.relative_to(out).as_posix() for o in out.rglob('*') if o.name.startswith('.') or o.name.endswith(('.partial','.tmp','.old','.lock'))]
        if digest(what, out)!=want[what]: bad.append(f'{what}: another result')
        if stray: bad.append(f'{what}: stray {stray[:5]}')
        if left := gone(): bad.append(f'{what}: orphans {left}')
        if bad: break
    third = max(1, len(size)//3)
    res = dict(minutes=round((time.time()-start)/60, 1), rounds=sum(n[o] for o in want), **n, parent_mb=[round(min(size[:third])), round(max(size[-third:]))],
               child_mb={k:[round(np.median(v[:len(v)//2+1])), round(np.median(v[len(v)//2:]))] for k,v in peak.items() if v}, faults=bad)
    print(json.dumps(res, indent=1))
    if a.json: Path(a.json).write_text(json.dumps(res, indent=1)+'\n')
    shutil.rmtree(w, ignore_errors=True)
    return bool(bad)

if __name__=='__main__': warnings.simplefilter('ignore'); sys.exit(main())
