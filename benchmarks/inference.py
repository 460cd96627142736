"""What does an ensemble with test time augmentation cost beside the networks themselves?

Claim: for 3 members x 8 views zoofast spends at most 1/30 of the CPU time that fastai's `get_preds` + `tta`, member by member,
spends outside the networks' forward passes, in less memory.

    python benchmarks/inference.py --json inference.json                 # 2,000 synthetic images
    python benchmarks/inference.py --data FOLDER --json inference.json   # or real ones, from a folder of class folders
    python benchmarks/inference.py --n 128 --rounds 1 --nets null        # a minute, to see it work

How: each run is a process of its own; the arms take turns; numbers are medians over rounds, ratios are taken within a round against
the first arm. The CPU time of the forward passes is measured in the process, around each call of a net, and subtracted from user +
system time of the process and its workers. `null` is a net that does next to nothing, so the data path stands alone. Every arm warms
up on 128 images; making DataBlocks, nets and members is not timed. Memory is the peak of what the process tree holds beyond the page
cache, pages shared by forks counted once, libraries and warm-up included.

Arms: `fastai` is get_preds + tta with its default of 4 random views: 18 forward passes an image, fewer than the 24 of zoofast;
`fastai, 8 views` is the same with tta(n=7), which adds the plain view: 27 passes; `zoofast` reads a packed Store;
`zoofast, from files` gets the files and packs them within the measured time.
"""
import argparse, json, statistics as st, sys, time, warnings
from common import cpu_seconds, fastai_dls, files_and_store, report, set_threads, watch

K = 3 # members

def make_net(name, classes, seed):
    import torch
    from torch import nn
    from zoofast.models.backbones import zoo_model
    torch.manual_seed(seed)
    if name!='null': return zoo_model(name, classes).eval()
    class Null(nn.Module):
        def __init__(self): super().__init__(); self.head = nn.Linear(64, classes)
        def forward(self, x): return self.head(nn.functional.interpolate(x, (8, 8)).flatten(1))
    return Null().eval()

class Forward:
    "CPU seconds and images that go through nets"
    def __init__(self, nets):
        self.cpu,self.images = 0.,0
        for o in nets: o.register_forward_pre_hook(self.begin); o.register_forward_hook(self.end)
    def begin(self, m, x): self.t = time.process_time()
    def end(self, m, x, y): self.cpu += time.process_time()-self.t; self.images += len(y)

def fastai_arm(items, store, nets, size, n):
    "n + 1 passes of `tta` and one of `get_preds`, for each net"
    import torch
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    def make(rows):
        df = items.iloc[rows]
        dls = fastai_dls(df.path.tolist(), df.label.tolist(), store.vocab, size, store.mean, store.std, True, valid=True)
        learns = [Learner(dls, o, loss_func=CrossEntropyLossFlat()) for o in nets]
        return lambda: torch.stack([both(o) for o in learns]).mean(0).numpy()
    def both(learn):
        with learn.no_bar(), learn.no_logging():
            learn.get_preds()
            return learn.tta(n=n)[0]
    return make

def zoofast_arm(items, store, nets, size, files):
    "`predict` of an ensemble: 8 views from one sampling"
    from zoofast.ensemble import predict
    from zoofast.members import Member
    view = dict(size=size, fit='pad', fill=None, mean=store.mean, std=store.std, channels=1, meta=False)
    cfg = dict(vocab=store.vocab, view=view, tta='d4', temperature=1., tau=0., rule='logits')
    members = [Member(o, dict(prior=None, **cfg, arch=f'net{k}')) for k,o in enumerate(nets)]
    def make(rows):
        what = dict(images=items.path.iloc[rows].tolist()) if files else dict(images=store, rows=rows)
        return lambda: predict(models=members, tta='d4', progress=False, **what).probs
    return make

# name -> arm, its option, forward passes an image
ARMS = {'fastai':(fastai_arm, 4, 6*K), 'fastai, 8 views':(fastai_arm, 7, 9*K),
        'zoofast':(zoofast_arm, False, 8*K), 'zoofast, from files':(zoofast_arm, True, 8*K)}

def one(a):
    "One arm, in this process"
    import numpy as np, torch
    torch.set_num_threads(a.threads)
    items,store = files_and_store(a.data, a.n)
    nets = [make_net(a.net, len(store.vocab), k) for k in range(K)]
    fn,option,passes = ARMS[a.arm]
    make = fn(items, store, nets, a.size, option)
    make(np.arange(min(128, len(items))))()
    run = make(np.arange(len(items)))
    f,cpu,t = Forward(nets),cpu_seconds(),time.perf_counter()
    p = run()
    wall,cpu = time.perf_counter()-t,cpu_seconds()-cpu
    assert f.images==passes*len(items), f'{f.images} images went through the nets'
    assert p.shape==(len(items), len(store.vocab)) and np.allclose(p.sum(1), 1, atol=1e-3), p.shape
    print(json.dumps(dict(images=len(items), wall=wall, cpu=cpu, forward=f.cpu, passes=passes)))

def bench(net, rounds, a, argv):
    res = {k:[] for k in a.arms}
    for r in range(rounds):
        for k in a.arms:
            text,peak = watch([sys.executable, __file__, *argv, '--net', net, '--arm', k], exact=True, every=.2)
            o = json.loads(text.splitlines()[-1])|dict(peak=peak)
            res[k].append(o|dict(outside=o['cpu']-o['forward']))
            print(f"{net}, round {r+1}: {k}: {o['wall']:.1f} s, {o['cpu']:.1f} CPU s, forward {o['forward']:.1f}, {peak/1e6:,.0f} MB", flush=True)
    def us(k, f): return st.median(o[f]/o['images']*1e6 for o in res[k])
    def each(k, f): return sorted(b[f]/o[f] for o,b in zip(res[k], res[a.arms[0]]))
    def times(k, f): return st.median(each(k, f))
    return [dict(name=f'{k} ({net})', size=a.size, passes=res[k][0]['passes'], images_per_second=1e6/us(k, 'wall'), cpu_us_per_image=us(k, 'cpu'),
        ratio=times(k, 'wall'), cpu_ratio=times(k, 'cpu'), outside_us_per_image=us(k, 'outside'), outside_ratio=times(k, 'outside'), outside_ratios=each(k, 'outside'),
        peak_mb=max(o['peak'] for o in res[k])/1e6) for k in a.arms]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--n', type=int, default=2000)
    p.add_argument('--size', type=int, default=128)
    p.add_argument('--rounds', type=int, nargs='+', default=[3, 1], help='for each net; the last counts for the rest')
    p.add_argument('--nets', nargs='+', default=['null', 'resnet10t'], help="'null' or timm nets")
    p.add_argument('--arms', nargs='+', default=list(ARMS), choices=ARMS)
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--net', help=argparse.SUPPRESS)
    p.add_argument('--arm', choices=ARMS, help=argparse.SUPPRESS)
    p.add_argument('--json')
    a = p.parse_args()
    warnings.filterwarnings('ignore')
    a.threads = set_threads(a.threads)
    if a.arm: return one(a)
    argv = [o for k in ('data', 'n', 'size', 'threads') if getattr(a, k) is not None for o in (f'--{k}', str(getattr(a, k)))]
    files_and_store(a.data, a.n)                  # made before the runs
    rows = [o for k,net in enumerate(a.nets) for o in bench(net, a.rounds[min(k, len(a.rounds)-1)], a, argv)]
    report(a, rows, ['name', 'size', 'passes', 'images_per_second', 'cpu_us_per_image', 'outside_us_per_image', 'ratio', 'cpu_ratio', 'outside_ratio',
        'peak_mb'])

if __name__=='__main__': main()
