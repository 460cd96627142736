"""How long does an epoch take beside a bare loop that has nothing to load, and beside plain fastai?

Claim: zoofast (batches drawn from a Store with class weights and random poses, all metrics and guards on) trains at 0.97 or more of the images/s of a
bare PyTorch loop fed from one preloaded batch, with the same net, precision, memory format and fused optimizer; on a GPU at 128 px at 5 times plain fastai or more.

    python benchmarks/training.py --json training.json                    # resnet18 at 64 and 128 px on the CPU; some five minutes on 2 cores
    python benchmarks/training.py --device cuda --json training_gpu.json  # resnet50, efficientnet_b3, convnext_tiny at 128 and 224 px, compiled too;
                                                                          # minutes a net: --nets resnet50 takes one at a time
    python benchmarks/training.py --quick                                 # a minute, to see it work

How: all arms take turns in one process, round after round; a turn is `--warm` steps that are not timed (workers start, kernels are chosen), then `--steps` that are, without validation;
numbers are medians over rounds, ratios are taken within a round. Images, batch size and class weights are those of all arms; a timed step is everything from batch to optimizer.

    limit               zoo_model, one batch in memory, AdamW(fused=True), cross-entropy, zero_grad; precision as zoofast chose, channels-last
    zoofast             store_dls (weighted sampling, rotation, zoom, flips) and zoo_learner as it comes, amp='auto', channels-last, fit_one_cycle
    zoofast, EMA        with averaged weights and a clipped gradient
    ..., compile        torch.compile in both; with --compile, and on a GPU
    fastai              DataBlock over the files (a worker a core), aug_transforms, Learner of the same timm net, Adam, float32, fit_one_cycle
    fastai, bf16        with to_bf16(); on a GPU only, for on a CPU it does nothing
"""
import argparse, gc, statistics as st, time, warnings
from common import ROT, ZOOM, cpu_seconds, fastai_block, files_and_store, report, set_threads, workers

COLS = 'name size precision images_per_second cpu_us_per_image ratio x_fastai epoch_seconds'.split()

def waiter(device):
    import torch
    return torch.cuda.synchronize if device.startswith('cuda') else lambda: None

def clock_cb(a):
    "A callback that times the steps after the warm-up, then ends the epoch"
    from fastai.callback.core import Callback, CancelTrainException, CancelValidException
    wait = waiter(a.device)
    class Clock(Callback):
        order = -20
        def before_batch(self):
            if self.iter==a.warm: wait(); self.t = time.perf_counter()
        def before_validate(self): raise CancelValidException()
    class Stop(Callback):
        order,run_valid = 200,False
        def after_batch(self):
            if self.iter+1<a.warm+a.steps: return
            wait()
            self.learn.clock.seconds = time.perf_counter()-self.learn.clock.t
            raise CancelTrainException()
    return [Clock(), Stop()]

def fit_arm(make):
    "A turn of a Learner, which is made once: seconds of the timed steps"
    learn = []
    def turn():
        if not learn: learn.append(make())
        learn[0].fit_one_cycle(1, 1e-3)
        return learn[0].clock.seconds
    return turn

def quiet(learn):
    from fastai.callback.progress import ProgressCallback
    learn.remove_cbs(ProgressCallback)
    learn.logger = lambda *o: None
    return learn

def zoofast_arm(store, arch, size, a, compile=False, **kw):
    from zoofast.data.augment import Affine
    from zoofast.data.dls import store_dls
    from zoofast.learner import zoo_learner
    from zoofast.train.speed import Autocast
    def make():
        aug = Affine(rot=ROT, scale=(1/ZOOM, ZOOM), hflip=.5, vflip=.5)
        dls = store_dls(store, size=size, bs=a.bs, aug=aug, alpha=a.alpha, device=a.device)
        amp = [] if a.amp=='float32' else [Autocast(a.amp, least=0)]
        learn = zoo_learner(dls, arch, channels_last=True, compile=compile, cbs=amp+clock_cb(a), seed=0, **kw)
        turn.learn = learn
        return quiet(learn)
    turn = fit_arm(make)
    return turn

def precision(turn): return turn.learn.autocast.chosen if hasattr(turn.learn, 'autocast') else 'float32'

def limit_arm(like, arch, size, classes, a, compile=False):
    "The bare loop; `like` is the zoofast arm whose precision it takes"
    import torch
    from zoofast.models.backbones import zoo_model
    wait,made = waiter(a.device),[]
    def make():
        torch.manual_seed(0)
        m = zoo_model(arch, classes, img_size=size).to(a.device, memory_format=torch.channels_last).train()
        x = torch.randn(a.bs, 1, size, size, device=a.device).to(memory_format=torch.channels_last)
        return torch.compile(m, dynamic=False) if compile else m, torch.optim.AdamW(m.parameters(), fused=True), x, torch.randint(classes, (a.bs,), device=a.device)
    def turn():
        if not made: made.extend(make())
        m,opt,x,y = made
        half = precision(like)=='bf16'
        for i in range(a.warm+a.steps):
            if i==a.warm: wait(); t = time.perf_counter()
            with torch.autocast(a.device.split(':')[0], torch.bfloat16, enabled=half): out = m(x)
            torch.nn.functional.cross_entropy(out.float(), y, label_smoothing=.1).backward()
            opt.step(); opt.zero_grad()
        wait()
        return time.perf_counter()-t
    return turn

def fastai_arm(items, store, arch, size, a, half=False):
    import numpy as np, timm
    from fastai.basics import CrossEntropyLossFlat, Learner
    from zoofast.data.sampling import class_weights
    def make():
        train,code = store.rows('train'),store.label
        w = class_weights(np.bincount(code[train], minlength=len(store.vocab)), a.alpha)[code[train]]
        rows = np.random.default_rng(0).choice(train, max(4096, (a.warm+a.steps)*a.bs), p=w/w.sum())       # drawn once, with the same weights
        path,label = items.path.to_numpy(object)[rows].tolist(),items.label.to_numpy(object)[rows].tolist()
        block = fastai_block(list(store.vocab), dict(zip(path, label)).get, lambda o: ([*range(1, len(o))], [0]), size, list(store.mean), list(store.std), True)
        dls = block.dataloaders([path[0], *path], bs=a.bs, num_workers=workers(), device=a.device)
        m = timm.create_model(arch, in_chans=1, num_classes=len(store.vocab))
        learn = quiet(Learner(dls, m, loss_func=CrossEntropyLossFlat(), metrics=[], cbs=clock_cb(a)))
        return learn.to_bf16() if half else learn
    return fit_arm(make)

def arms(items, store, arch, size, a):
    "name -> turn, and the names of those that run in zoofast's precision; zoofast comes first, because it chooses"
    zoo = lambda **kw: zoofast_arm(store, arch, size, a, **kw)
    first = zoo()
    limit = lambda **kw: limit_arm(first, arch, size, len(store.vocab), a, **kw)
    fns = {'zoofast':first, 'limit':limit(), 'zoofast, EMA':zoo(ema=.999, clip=1.)}
    if a.compile: fns |= {'zoofast, compile':zoo(compile=True), 'limit, compile':limit(compile=True)}
    fns['fastai'] = fastai_arm(items, store, arch, size, a)
    if a.device!='cpu': fns['fastai, bf16'] = fastai_arm(items, store, arch, size, a, half=True)
    return {k:f for k,f in fns.items() if not a.arms or k in ('zoofast','limit') or any(k.startswith(o) for o in a.arms)}

def take(f, a):
    "Images/s and CPU us/image of a turn; the CPU time of its warm-up and workers is in it"
    gc.collect()
    cpu = cpu_seconds()
    t = f()
    gc.collect()
    return a.steps*a.bs/t, (cpu_seconds()-cpu)/((a.warm+a.steps)*a.bs)*1e6

def summary(res, fns, arch, size, n, a):
    def row(k):
        each = lambda o: [x[0]/y[0] for x,y in zip(res[k], res[o])] if res.get(o) else None
        mid = lambda o: st.median(o) if o else None
        ips,base = st.median(o[0] for o in res[k]),'limit, compile' if k.endswith('compile') else 'limit'
        how = {'fastai':'float32', 'fastai, bf16':'bf16'}.get(k) or precision(fns[k] if k.startswith('zoofast') else fns['zoofast'])
        return dict(name=f'{arch}: {k}', size=size, precision=how, images_per_second=ips, cpu_us_per_image=st.median(o[1] for o in res[k]), ratio=mid(each(base)),
            ratios=sorted(each(base) or []), baseline=base, x_fastai=mid(each('fastai')), xs_fastai=sorted(each('fastai') or []), epoch_seconds=n/ips)
    return [row(k) for k in res if res[k]]

def bench(items, store, arch, size, a, save):
    fns = arms(items, store, arch, size, a)
    res = {k:[] for k in fns}
    for k,f in fns.items(): take(f, a)               # builds, measures, compiles, reads
    for r in range(a.rounds):
        for k,f in fns.items():
            res[k].append(take(f, a))
            print(f'{arch}, {size} px, round {r+1}: {k}: {res[k][-1][0]:,.0f} images/s', flush=True)
        save(summary(res, fns, arch, size, len(store.rows('train')), a))
    return summary(res, fns, arch, size, len(store.rows('train')), a)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--n', type=int, default=20000, help='number of files')
    p.add_argument('--device', default='cpu', help='cpu or cuda')
    p.add_argument('--nets', nargs='+', help='timm nets; default: resnet18, on a GPU resnet50 efficientnet_b3 convnext_tiny')
    p.add_argument('--sizes', type=int, nargs='+', help='default: 64 128, on a GPU 128 224')
    p.add_argument('--bs', type=int, help='default: 64, on a GPU 256')
    p.add_argument('--steps', type=int, help='timed steps of a turn; default: 20, on a GPU 30')
    p.add_argument('--warm', type=int, help='steps before them; default: 2, on a GPU 5')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--amp', default='auto', choices=('auto','bf16','float32'), help='precision of zoofast and the limit')
    p.add_argument('--compile', action='store_true', help='also with torch.compile; always on a GPU')
    p.add_argument('--alpha', type=float, default=.5, help='weighted sampling, n_c^-alpha')
    p.add_argument('--arms', nargs='*', help='beginnings of names of arms; default: all')
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--quick', action='store_true', help='a minute, to see it work: few images, one round, small')
    p.add_argument('--json')
    a = p.parse_args()
    gpu = a.device!='cpu'
    if a.quick: a.n,a.sizes,a.rounds,a.bs,a.steps,a.warm,a.nets = 600,[32],1,32,3,1,['resnet10t']
    for k,v in dict(nets=['resnet50','efficientnet_b3','convnext_tiny'] if gpu else ['resnet18'], sizes=[128,224] if gpu else [64,128], bs=256 if gpu else 64,
                    steps=30 if gpu else 20, warm=5 if gpu else 2).items():
        if getattr(a, k) is None: setattr(a, k, v)
    a.compile = a.compile or gpu and not a.quick
    threads = set_threads(a.threads)
    import torch
    torch.set_num_threads(threads)
    warnings.filterwarnings('ignore')
    items,store = files_and_store(a.data, a.n, valid=.1)
    if len(store.rows('train')) < (a.warm+a.steps)*a.bs: raise SystemExit(f'{len(store.rows("train"))} images are too few for {a.warm+a.steps} steps of {a.bs}')
    for f in items.path: open(f, 'rb').read()     # into the page cache, and the store too
    store.pixels[::4096].sum()
    rows,note = [],dict(threads=threads)
    for arch in a.nets:
        for size in a.sizes: rows += bench(items, store, arch, size, a, lambda new: report(a, rows+new, COLS, show=False, **note))
    report(a, rows, COLS, **note)

if __name__=='__main__': main()
