"""How many views a second does the sampler draw on a GPU, and how near is that to the speed of its memory?

Claim: at least 3 million 128-px bfloat16 views a second on one H200, from a Store that is resident there.

    python benchmarks/sampler_gpu.py --json sampler_gpu.json                # all 1.09 million images
    python benchmarks/sampler_gpu.py --n 200000 --sizes 128                 # a part
    python benchmarks/sampler_gpu.py --interpret                            # no GPU: a small pass through Triton's interpreter
    python benchmarks/sampler_gpu.py --tune                                 # also: other tiles for the kernel

How: some thousands of images with ZooCAM's sizes are drawn, and repeated until there are --n. First all arms must agree with the
CPU's kernel and with each other. Then they take turns, round after round: each draws random poses (rotation 180, zoom 1.2, flips) of random
rows, --bs at a time, after a warm-up; times are CUDA events around a run of batches, host work included, as in training. Medians over
rounds. `GB/s` is the least that must be moved (source pixels read once, output written once) over that time; the copy bandwidth is that of
a large tensor copied on the same GPU, in the same round; `share` is their ratio. `kernel` arms launch the same batch again and again, with its
rows and matrices on the device: what the GPU alone needs.
"""
import argparse, os, statistics as st, time
from types import SimpleNamespace
from common import ROT, ZOOM, report, set_threads

FULL,DEV = 1_093_785,'cuda'   # images of ZooCAM; where they are drawn

def drawn_store(n, drawn, seed=42):
    "`drawn` synthetic images, repeated until there are `n`: a store in memory"
    import numpy as np, tempfile
    from zoofast.data.synth import synth_store
    with tempfile.TemporaryDirectory() as d:
        s = synth_store(os.path.join(d, 'store'), drawn, seed=seed)
        size,k = len(s.pixels),np.arange(n)
        times = -(-n//len(s))
        pixels = np.tile(np.array(s.pixels), times)
        off = np.array(s.offset)[k%len(s)]+(k//len(s)).astype(np.int64)*size
        h,w,fill = (np.array(o)[k%len(s)] for o in (s.height, s.width, s.fill))
        end = int(off[-1])+int(h[-1])*int(w[-1])*s.channels
        return SimpleNamespace(pixels=pixels[:end], offset=off, height=h, width=w, fill=fill, channels=s.channels, mean=list(s.mean), std=list(s.std))

def random_views(store, rows, size, seed):
    from zoofast.data.augment import Affine
    return Affine(rot=ROT, scale=(1/ZOOM, ZOOM), hflip=.5, vflip=.5).matrices(store.height[rows], store.width[rows], size, 'pad', seed, 0, rows)

def agree(store, device, hows, size=64, n=256):
    "Every arm against the exact rotation-free path of the CPU, and against each other under rotation, in grey levels"
    import numpy as np, torch
    from zoofast.data.fits import matrices
    from zoofast.data.resample import sample
    from zoofast.data.resident import _device, _flat, draw_batch
    rows = np.random.default_rng(0).integers(0, len(store.height), n)
    rows[:2] = np.argmax(np.maximum(store.height, store.width)),len(store.height)-1
    plain,posed = matrices(store.height[rows], store.width[rows], size),random_views(store, rows, size, 1)
    there,res = SimpleNamespace(**vars(store)),{}
    there._flat = _flat(store, _device(device))
    cpu,ref = sample(store, rows, plain, size),None
    for how in hows:
        x = draw_batch(there, rows, plain, size, device=device, how=how).cpu().numpy()
        y,z = (draw_batch(o, rows, posed, size, device=device, how=how) for o in (there, store))
        assert y.equal(z), f'{how}: resident and streamed views differ'
        ref = y if ref is None else ref
        res[how] = float(abs(x-cpu).max()*255),float((y-ref).abs().max()*255)
        print(f'{how}: {res[how][0]:.4f} grey levels from the CPU, {res[how][1]:.4f} from {hows[0]} under rotation; resident = streamed', flush=True)
        assert max(res[how])<1, f'{how} does not agree'
    return res

def interpret():
    "A tiny pass through Triton's interpreter"
    os.environ['TRITON_INTERPRET'] = '1'
    import zoofast.data.resample_gpu as g
    g._tile.update(TH=64, TW=64)                  # fewer programs: each is slow
    store = drawn_store(64, 64)
    agree(store, 'cpu', ['torch', 'triton'], 48, 12)
    print('the kernel agrees; its speed needs a GPU')

def timed(f, reps):
    "Milliseconds of one call, by CUDA events around `reps`"
    import torch
    a,b = torch.cuda.Event(enable_timing=True),torch.cuda.Event(enable_timing=True)
    f(0); torch.cuda.synchronize()
    a.record()
    for k in range(reps): f(k)
    b.record(); torch.cuda.synchronize()
    return a.elapsed_time(b)/reps

def bandwidth(gb=2):
    "Bytes/s of a copy on the device, read and written"
    import torch
    a = torch.empty(int(gb*2**30), dtype=torch.uint8, device=DEV); b = torch.empty_like(a)
    return 2*a.numel()/timed(lambda k: b.copy_(a), 10)*1e3

def kernel_alone(flat, rows, M, size, norm, dtype):
    "A closure that launches the kernel on one batch that is on the device already"
    import torch
    import zoofast.data.resample_gpu as g
    r,m = g._table(rows, M, torch.device(DEV))
    nm = g._norm(tuple(norm['mean']), tuple(norm['std']), torch.device(DEV))
    out = torch.empty(len(rows), 1, size, size, dtype=dtype, device=DEV)
    return lambda k: g._draw_triton(flat, r, m, None, nm, out)

def arms(store, there, size, dtype, batches, names):
    "name -> function of the number of a batch"
    import zoofast.data.resample_gpu as g
    from zoofast.data.resident import draw_batch
    norm = dict(mean=store.mean, std=store.std)
    def arm(st, how): return lambda k: draw_batch(st, *batches[k%len(batches)], size, **norm, device=DEV, dtype=dtype, how=how)
    eager,res = g._tent_torch,{}
    def compiled(k):
        g._tent_torch = faster
        try: return arm(there, 'torch')(k)
        finally: g._tent_torch = eager
    if 'triton' in names: res |= {'resident, Triton':arm(there, 'triton'), 'kernel alone, Triton':kernel_alone(there._flat, *batches[0], size, norm, dtype), 'streamed, Triton':arm(store, 'triton')}
    if 'torch' in names: res |= {'resident, torch':arm(there, 'torch')}
    if 'compile' in names:
        import torch
        faster = torch.compile(eager, dynamic=True)
        try:
            for k in range(len(batches)): compiled(k)
            res['resident, torch.compile'] = compiled
        except Exception as e: print(f'torch.compile does not work here: {type(e).__name__}', flush=True)
    return res

def bench(store, there, size, dtype, a):
    import numpy as np, torch
    rng,dt = np.random.default_rng(1),getattr(torch, dtype)
    rows = [rng.integers(0, len(store.height), a.bs) for _ in range(16)]
    batches = [(r, random_views(store, r, size, k)) for k,r in enumerate(rows)]
    source = np.mean([(store.height[r].astype(np.int64)*store.width[r]).mean() for r in rows])
    least = source+size*size*dt.itemsize
    fns = arms(store, there, size, dt, batches, a.arms)
    for f in fns.values():
        for k in range(len(batches)): f(k)
    got = {k:[] for k in fns}
    for r in range(a.rounds):
        bw = bandwidth()
        for k,f in fns.items():
            ms = timed(f, 16 if 'torch' in k else a.reps)
            got[k].append((a.bs/ms*1e3, least*a.bs/ms*1e3, bw))
    res = []
    for k,v in got.items():
        ips,moved,bw = (st.median(o) for o in zip(*v))
        base = st.median(x[0]/y[0] for x,y in zip(v, got['resident, torch'])) if 'resident, torch' in got else None
        res.append(dict(name=k, size=size, dtype=dtype, images_per_second=ips, cpu_us_per_image=None, ratio=base, ns_per_image=1e9/ips, gb_per_second=moved/1e9, copy_gb_per_second=bw/1e9,
            share=st.median(m/b for _,m,b in v), spread=sorted(o[0] for o in v)))
        print(f'{size} px {dtype}: {k}: {ips:,.0f} images/s, {moved/1e9:,.0f} GB/s of {bw/1e9:,.0f}', flush=True)
    return res

def tune(store, there, a):
    "Other tiles: nanoseconds an image of the kernel alone, 128 px bfloat16"
    import numpy as np, torch
    import zoofast.data.resample_gpu as g
    r = np.random.default_rng(1).integers(0, len(store.height), a.bs)
    f,own,res = kernel_alone(there._flat, r, random_views(store, r, 128, 1), 128, dict(mean=store.mean, std=store.std), torch.bfloat16),dict(g._tile),[]
    for tile in [(8,32,16,4),(16,16,16,4),(16,32,8,4),(16,32,16,4),(16,32,32,4),(32,32,8,8),(32,32,16,8),(32,32,16,4),(16,64,16,4),(16,64,16,8),(16,16,8,2),(8,32,16,2)]:
        g._tile.update(zip(('TH','TW','PW','num_warps'), tile))
        res.append((st.median(timed(f, a.reps) for _ in range(5))/a.bs*1e6, tile))
    g._tile.update(own)
    for ns,t in sorted(res): print(f'tile {t[0]} x {t[1]}, patch {t[2]}, {t[3]} warps: {ns:.0f} ns an image', flush=True)
    return sorted(res)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=FULL, help='images of the resident store')
    p.add_argument('--drawn', type=int, default=4000, help='images that are really drawn; the others repeat them')
    p.add_argument('--sizes', type=int, nargs='+', default=[128, 224])
    p.add_argument('--dtypes', nargs='+', default=['bfloat16', 'float32'])
    p.add_argument('--arms', nargs='+', default=['triton', 'torch'], help="'compile' adds torch.compile, which takes minutes to start")
    p.add_argument('--bs', type=int, default=2048, help='images a batch')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--reps', type=int, default=64, help='batches timed at once')
    p.add_argument('--tune', action='store_true', help='also try other tiles')
    p.add_argument('--interpret', action='store_true', help='no GPU: the kernel in its interpreter, a few images')
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--json')
    a = p.parse_args()
    set_threads(a.threads)
    if a.interpret: return interpret()
    import torch
    if not torch.cuda.is_available(): return print('This benchmark needs a CUDA GPU; --interpret checks the kernel without one.')
    from zoofast.data.resident import _device, _flat
    t = time.perf_counter()
    store = drawn_store(a.n, a.drawn)
    print(f'{a.n:,} images ({a.drawn:,} drawn), {len(store.pixels)/1e9:.2f} GB, in {time.perf_counter()-t:.0f} s', flush=True)
    torch.cuda.synchronize(); t = time.perf_counter()
    there = SimpleNamespace(**vars(store)); there._flat = _flat(store, _device(DEV), False)
    torch.cuda.synchronize(); send = time.perf_counter()-t
    print(f'resident in {send:.1f} s: {len(store.pixels)/send/1e9:.1f} GB/s', flush=True)
    hows = [o for o in ('torch', 'triton') if o in a.arms]
    same = agree(store, DEV, hows)
    tiles = tune(store, there, a) if a.tune and 'triton' in a.arms else None
    rows = [o for size in a.sizes for dt in a.dtypes for o in bench(store, there, size, dt, a)]
    print(f'\n{torch.cuda.get_device_name()}, torch {torch.__version__}, batches of {a.bs}')
    report(a, rows, ['name', 'size', 'dtype', 'images_per_second', 'ns_per_image', 'ratio', 'gb_per_second', 'copy_gb_per_second', 'share'],
        gpu=torch.cuda.get_device_name(), resident_seconds=send, resident_bytes=len(store.pixels), agreement=same, tiles=tiles)

if __name__=='__main__': main()
