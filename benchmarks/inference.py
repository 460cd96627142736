"""What does an ensemble with test time augmentation cost beside the networks themselves?

Claims, for 3 members x 8 views: (1) zoofast spends at most 1/30 of the CPU time that fastai's `get_preds` + `tta`, member by member, spend outside
the networks' forward passes, in less memory; (2) with real networks it reaches at least 0.95 of their own forward throughput on a preloaded tensor,
from a packed Store and straight from image files.

    python benchmarks/inference.py --json inference.json                  # synthetic images, 2 CPU cores: less than 10 minutes
    python benchmarks/inference.py --device cuda --json inference.json    # resnet50, efficientnet_b3, convnext_tiny at 128 px in bf16
    python benchmarks/inference.py --data FOLDER                          # real images, from a folder of class folders
    python benchmarks/inference.py --n 128 --rounds 1 --nets null         # a minute, to see it work

How: the arms take turns, in another order each round; numbers are medians over rounds, ratios are taken within a round. Every arm warms up on a few
images; making DataBlocks, nets and members is not timed. `null` is a net that does next to nothing, so the data path stands alone: there each run is a
process of its own, the CPU time of the forward passes is measured around each call of a net and subtracted from user + system time of the process and its
workers, and memory is the peak of what the process tree holds beyond the page cache, pages shared by forks counted once, libraries and warm-up included.
With real nets all arms run in one process, on fewer images (`--n-nets`), at a smaller size.

Arms: `fastai` is get_preds + tta with its default of 4 random views: 18 forward passes an image, fewer than the 24 of zoofast; `fastai, 8 views` is the
same with tta(n=7), which adds the plain view: 27 passes; `timm` is the loop of its validation script (create_dataset, create_loader, one model after the
other), one view: 3 passes; `timm, 8 times` is the time of that, eight times over; `forward` is 24 passes over batches that lie ready, channels-last, in batches of the size
that zoofast chooses; `zoofast` reads a packed Store; `zoofast, from files` gets the files. `of_forward` is what share of the throughput of `forward`, pass
for pass, an arm reaches. All arms work in the precision that `--amp` names.
"""
import argparse, contextlib, json, os, shutil, statistics as st, sys, tempfile, time, warnings
from pathlib import Path
from common import BS, cpu_seconds, fastai_dls, files_and_store, report, set_threads, watch, workers

K,V = 3,8 # members, views

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

def autocast(a):
    import torch
    return torch.autocast(a.device, torch.bfloat16) if a.amp=='bf16' else contextlib.nullcontext()

# an arm: (a, items, store, nets, option) -> rows -> a function that predicts them and gives (n,c) probabilities

def fastai_arm(a, items, store, nets, n):
    "n + 1 passes of `tta` and one of `get_preds`, for each net"
    import torch
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    def make(rows):
        df = items.iloc[rows]
        dls = fastai_dls(df.path.tolist(), df.label.tolist(), store.vocab, a.size, store.mean, store.std, True, valid=True).to(a.device)
        learns = [Learner(dls, o, loss_func=CrossEntropyLossFlat()) for o in nets]
        return lambda: torch.stack([both(o) for o in learns]).mean(0).numpy()
    def both(learn):
        with learn.no_bar(), learn.no_logging(), autocast(a):
            learn.get_preds()
            return learn.tta(n=n)[0].float()
    return make

def timm_arm(a, items, store, nets, _):
    "timm's validation loop, member by member"
    import torch
    from timm.data import create_dataset, create_loader
    def make(rows):
        root = Path(tempfile.mkdtemp(dir=timm_arm.tmp))
        for i,o in items.iloc[rows].iterrows(): (d := root/(o.label or 'none')).mkdir(exist_ok=True); os.symlink(os.path.abspath(o.path), d/f'{i:07}{Path(o.path).suffix}')
        data = create_dataset('', root=str(root), input_img_mode='L')
        loader = create_loader(data, (1, a.size, a.size), 256 if a.device=='cuda' else BS, use_prefetcher=a.device=='cuda', mean=tuple(store.mean),
            std=tuple(store.std), interpolation='bilinear', crop_pct=1., num_workers=workers(), device=torch.device(a.device), persistent_workers=False)
        def run(net):
            with torch.inference_mode(), autocast(a): return torch.cat([net(x.to(a.device)).softmax(1).float().cpu() for x,_ in loader])
        return lambda: torch.stack([run(o) for o in nets]).mean(0).numpy()
    return make

def forward_arm(a, items, store, nets, _):
    "The nets alone: batches that lie ready"
    import numpy as np, torch
    from types import SimpleNamespace
    from zoofast.data.views import draw_views
    from zoofast.tta import _auto_bs, _channels_last
    def make(rows):
        bs = _auto_bs([SimpleNamespace(view=dict(size=a.size), device=torch.device(a.device))])
        xs = [draw_views(store, np.asarray(rows[i:i+bs]), a.size, 'none', mean=store.mean, std=store.std, device=a.device) for i in range(0, len(rows), bs)]
        xs = [_channels_last(next(o)[1]) for o in xs]
        def run():
            with torch.inference_mode(), autocast(a): zs = [torch.stack([net(x).softmax(1).float() for net in nets for _ in range(V)]).mean(0) for x in xs]
            return torch.cat(zs).cpu().numpy()
        return run
    return make

def zoofast_arm(a, items, store, nets, files):
    "`predict` of an ensemble: 8 views from one sampling"
    from zoofast.ensemble import predict
    from zoofast.members import Member
    view = dict(size=a.size, fit='pad', fill=None, mean=store.mean, std=store.std, channels=1, meta=False)
    cfg = dict(vocab=store.vocab, view=view, tta='d4', temperature=1., tau=0., rule='logits')
    members = [Member(o, dict(prior=None, **cfg, arch=f'net{k}')) for k,o in enumerate(nets)]
    def make(rows):
        what = dict(images=items.path.iloc[rows].tolist()) if files else dict(images=store, rows=rows)
        return lambda: predict(models=members, tta='d4', amp=a.amp, progress=False, **what).probs
    return make

# name -> arm, its option, forward passes an image
ARMS = {'fastai':(fastai_arm, 4, 6*K), 'fastai, 8 views':(fastai_arm, 7, 9*K), 'timm':(timm_arm, None, K), 'forward':(forward_arm, None, V*K),
        'zoofast':(zoofast_arm, False, V*K), 'zoofast, from files':(zoofast_arm, True, V*K)}
ALONE,TOGETHER = ['fastai', 'zoofast', 'zoofast, from files'],['fastai, 8 views', 'timm', 'forward', 'zoofast', 'zoofast, from files']

def timed(f, a):
    import torch
    if a.device=='cuda': torch.cuda.synchronize()
    cpu,t = cpu_seconds(),time.perf_counter()
    p = f()
    return p,dict(wall=time.perf_counter()-t, cpu=cpu_seconds()-cpu)

def check(p, items, store):
    import numpy as np
    assert p.shape==(len(items), len(store.vocab)) and np.allclose(p.sum(1), 1, atol=1e-2), p.shape

def setup(a, n, net):
    import torch
    torch.set_num_threads(a.threads)
    items,store = files_and_store(a.data, n)
    return items,store,[make_net(net, len(store.vocab), k).to(a.device) for k in range(K)]

def one(a):
    "One arm, in this process, for the memory and the CPU time outside the nets"
    import numpy as np
    items,store,nets = setup(a, a.n, a.net)
    fn,option,passes = ARMS[a.arm]
    make = fn(a, items, store, nets, option)
    make(np.arange(min(128, len(items))))()
    run,f = make(np.arange(len(items))),Forward(nets)
    p,o = timed(run, a)
    if a.amp!='auto': assert f.images==passes*len(items), f'{f.images} images went through the nets'
    check(p, items, store)
    print(json.dumps(o|dict(images=len(items), forward=f.cpu, passes=passes)))

def alone(net, rounds, a, argv):
    "Each arm of each round in a process of its own"
    res = {k:[] for k in a.arms or ALONE}
    for r in range(rounds):
        for k in res:
            text,peak = watch([sys.executable, __file__, *argv, '--net', net, '--arm', k], exact=True, every=.2)
            o = json.loads(text.splitlines()[-1])|dict(peak=peak)
            res[k].append(o|dict(outside=o['cpu']-o['forward']))
            print(f"{net}, round {r+1}: {k}: {o['wall']:.1f} s, {o['cpu']:.1f} CPU s, forward {o['forward']:.1f}, {peak/1e6:,.0f} MB", flush=True)
    return res

def together(net, rounds, a):
    "All arms in this process, in turns"
    import numpy as np
    items,store,nets = setup(a, a.n_nets, net)
    arms = {k:ARMS[k] for k in a.arms or TOGETHER}
    makes = {k:fn(a, items, store, nets, option) for k,(fn,option,_) in arms.items()}
    for make in makes.values(): make(np.arange(min(64, len(items))))()
    runs,res = {k:make(np.arange(len(items))) for k,make in makes.items()},{k:[] for k in arms}
    for r in range(rounds):
        for k in [*arms][r%len(arms):]+[*arms][:r%len(arms)]:
            p,o = timed(runs[k], a)
            check(p, items, store)
            res[k].append(o|dict(images=len(items), passes=arms[k][2]))
            print(f"{net}, round {r+1}: {k}: {o['wall']:.2f} s, {o['cpu']:.2f} CPU s", flush=True)
    if 'timm' in res: res['timm, 8 times'] = [o|dict(wall=V*o['wall'], cpu=V*o['cpu'], passes=V*o['passes']) for o in res['timm']]
    return res

def rows_of(net, res, a):
    first = next(iter(res.values()))
    def us(k, f): return st.median(o[f]/o['images']*1e6 for o in res[k])
    def each(k, f, base=first): return sorted(b[f]/o[f] for o,b in zip(res[k], base))
    def row(k):
        o = dict(name=f'{k} ({net})', size=a.size, passes=res[k][0]['passes'], images_per_second=1e6/us(k, 'wall'), cpu_us_per_image=us(k, 'cpu'),
            ratio=st.median(each(k, 'wall')), cpu_ratio=st.median(each(k, 'cpu')), rounds=len(res[k]), images=res[k][0]['images'])
        if 'outside' in first[0]: o |= dict(outside_us_per_image=us(k, 'outside'), outside_ratio=st.median(each(k, 'outside')), outside_ratios=each(k, 'outside'),
            peak_mb=max(o['peak'] for o in res[k])/1e6)
        if 'forward' in res:
            per = [o['passes']/res['forward'][0]['passes']*r for o,r in zip(res[k], (b['wall']/o['wall'] for o,b in zip(res[k], res['forward'])))]
            o |= dict(of_forward=st.median(per), of_forwards=sorted(per))
        return o
    return [row(k) for k in res]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--device', default='cpu', choices=['cpu','cuda'])
    p.add_argument('--amp', choices=['float32','bf16'], help='default: bf16 on a GPU, else float32')
    p.add_argument('--n', type=int, default=600, help='images for the null net')
    p.add_argument('--n-nets', type=int, help='images for real nets; default 256, on a GPU 8,192')
    p.add_argument('--size', type=int, help='px; default 128 for null and on a GPU, 64 for real nets on a CPU')
    p.add_argument('--rounds', type=int, nargs='+', default=[5], help='for each net; the last counts for the rest')
    p.add_argument('--nets', nargs='+', help="'null' or timm nets")
    p.add_argument('--arms', nargs='+', choices=ARMS)
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--net', help=argparse.SUPPRESS)
    p.add_argument('--arm', choices=ARMS, help=argparse.SUPPRESS)
    p.add_argument('--json')
    a = p.parse_args()
    warnings.filterwarnings('ignore')
    a.threads,gpu = set_threads(a.threads),a.device=='cuda'
    a.amp = a.amp or ('bf16' if gpu else 'float32')
    a.n_nets = a.n_nets or (8192 if gpu else 256)
    a.nets = a.nets or ['null', *(('resnet50', 'efficientnet_b3', 'convnext_tiny') if gpu else ('resnet18', 'efficientnet_lite0', 'convnext_zepto_rms'))]
    tmp,size,rows = tempfile.mkdtemp(),a.size,[]
    timm_arm.tmp = tmp
    cols = ['name', 'size', 'passes', 'images_per_second', 'cpu_us_per_image', 'ratio', 'cpu_ratio', 'of_forward', 'outside_us_per_image', 'outside_ratio', 'peak_mb']
    try:
        if a.arm: a.size = size or 128; return one(a)
        for k,net in enumerate(a.nets):
            a.size,rounds = size or (128 if gpu or net=='null' else 64),a.rounds[min(k, len(a.rounds)-1)]
            files_and_store(a.data, a.n if net=='null' else a.n_nets)              # made before the runs
            argv = [o for c in ('data', 'device', 'amp', 'n', 'size', 'threads') if getattr(a, c) is not None for o in (f'--{c}', str(getattr(a, c)))]
            rows += rows_of(net, alone(net, rounds, a, argv) if net=='null' else together(net, rounds, a), a)
            report(a, rows, cols, show=False)
        a.size = size
        report(a, rows, cols)
    finally: shutil.rmtree(tmp)

if __name__=='__main__': main()
