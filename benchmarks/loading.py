"""How fast do image files become normalised, augmented float32 batches on a CPU?

Claim: zoofast's train DataLoader (a fastai DataLoader over a packed Store, weighted sampling) gives at least 15 times the images/s
of fastai's DataBlock (PILImageBW, Resize, aug_transforms, one worker a core) on the same files at 128 and 224 px, and drawing
batches takes under 5% of a training step.

    python benchmarks/loading.py --json loading.json            # 20,000 synthetic PNGs with ZooCAM's sizes
    python benchmarks/loading.py --data FOLDER --n 20000        # any folder of class folders
    python benchmarks/loading.py --n 600 --rounds 1 --n-slow 256 --n-fast 512     # a minute, to see it work

How: all arms take turns in one process, round after round; images are drawn with the same weights n_c^-1/2 from the same training
files, which are in the page cache. Numbers are medians over rounds; ratios are taken within a round. CPU time is user + system of the
process and its workers. Making the DataBlock or the Store, and JIT compilation, are not timed; starting the workers is. A batch is
64 x 1 x S x S float32, normalised by the same mean and std.
"""
import argparse, gc, statistics as st, time, warnings
from common import BS, ROT, ZOOM, cpu_children, cpu_self, fastai_dls, files_and_store, report, set_threads, workers

class Pairs:
    "Items for a torch DataLoader"
    def __init__(self, xs, ys, read): self.xs,self.ys,self.read = xs,ys,read
    def __len__(self): return len(self.xs)
    def __getitem__(self, i): return self.read(self.xs[i]),self.ys[i]

def torchvision_dl(xs, ys, size, mean, std, read):
    "torchvision v2: resize, flips, affine and normalise each item in workers"
    import torch
    from torchvision.transforms import v2
    pose = v2.RandomAffine(ROT, scale=(1/ZOOM, ZOOM), interpolation=v2.InterpolationMode.BILINEAR, fill=255)
    tfm = v2.Compose([v2.Resize((size, size), antialias=True), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), pose,
        v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    return torch.utils.data.DataLoader(Pairs(xs, ys, lambda o: tfm(read(o))), BS, shuffle=True, num_workers=workers(), drop_last=True)

def timm_dl(files, ys, size, mean, std):
    "timm: RandomResizedCrop, flips, normalise in workers; it neither pads nor rotates, so it does less than the others"
    from timm.data import ImageDataset, create_loader
    files = Pairs(files, ys, lambda o: open(o, 'rb'))
    data = ImageDataset('', reader=files, input_img_mode='L')
    return create_loader(data, (1, size, size), BS, is_training=True, use_prefetcher=False, num_workers=workers(), persistent_workers=False,
        scale=(1/ZOOM**2, 1), hflip=.5, vflip=.5, color_jitter=None, interpolation='bilinear', mean=tuple(mean), std=tuple(std))

def arms(items, store, size, alpha):
    "name -> rows -> iterable of batches; and the zoofast DataLoaders"
    import torch
    from torchvision.io import ImageReadMode, decode_image, read_file
    from zoofast.data.dls import store_dls
    from zoofast.data.augment import Affine
    aug = Affine(rot=ROT, scale=(1/ZOOM, ZOOM), hflip=.5, vflip=.5)
    dls = store_dls(store, size=size, bs=BS, aug=aug, alpha=alpha, device='cpu')
    mean,std,vocab = list(store.mean),list(store.std),list(store.vocab)
    path,label,code = items.path.to_numpy(object),items.label.to_numpy(object),store.label
    def fastai(aug): return lambda r: fastai_dls(path[r].tolist(), label[r].tolist(), vocab, size, mean, std, aug).train
    def decode(f): return decode_image(read_file(f), ImageReadMode.GRAY)
    def torchvision(r): return torchvision_dl(path[r].tolist(), code[r].tolist(), size, mean, std, decode)
    def packed(r): return torchvision_dl(r.tolist(), code[r].tolist(), size, mean, std, lambda i: torch.from_numpy(store[i].copy())[None])
    def endless(r):
        while True: yield from dls.train
    return {'fastai': fastai(True), 'fastai, no augmentation': fastai(False), 'torchvision v2': torchvision,
        'timm (crop and flips only)': lambda r: timm_dl(path[r].tolist(), code[r].tolist(), size, mean, std),
        'store + torchvision v2': packed, 'zoofast': endless, 'zoofast, no augmentation': dls.test_dl}, dls

def take(arm, rows):
    "Images/s and CPU us/image of one pass of `rows` through an arm, and its last batch"
    it = arm(rows)
    gc.collect()
    mine,kids,t,n = cpu_self(),cpu_children(),time.perf_counter(),0
    batches = iter(it)
    while n+BS <= len(rows):
        b = next(batches)
        n += len(b[0])
    wall,mine = time.perf_counter()-t,cpu_self()-mine
    del batches, it
    gc.collect()                                  # ends the workers, so that their CPU time is counted
    return n/wall, (mine+cpu_children()-kids)/n*1e6, b

def check(name, b, size):
    "Every arm must deliver the same thing"
    x = b[0]
    assert tuple(x.shape)==(BS, 1, size, size) and str(x.dtype)=='torch.float32', f'{name}: {tuple(x.shape)} {x.dtype}'
    m,s = float(x.mean()),float(x.std())
    assert abs(m)<1 and .3<s<2, f'{name}: mean {m:.2f}, std {s:.2f} is not normalised'

def step_time(net, size, classes, steps, seed=0):
    "Wall and CPU us/image of one training step, data apart"
    import timm, torch
    torch.manual_seed(seed)
    m = timm.create_model(net, in_chans=1, num_classes=classes)
    opt = torch.optim.AdamW(m.parameters())
    x,y,res = torch.randn(BS, 1, size, size),torch.randint(classes, (BS,)),[]
    for _ in range(steps+1):
        cpu,t = cpu_self(),time.perf_counter()
        torch.nn.functional.cross_entropy(m(x), y).backward()
        opt.step(); opt.zero_grad()
        res.append([(time.perf_counter()-t)/BS*1e6, (cpu_self()-cpu)/BS*1e6])
    return [st.median(o) for o in zip(*res[1:])]

def bench(items, store, size, a):
    import numpy as np
    from zoofast.data.sampling import class_weights
    fns,dls = arms(items, store, size, a.alpha)
    if a.arms: fns = {k:v for k,v in fns.items() if k in ('fastai', 'zoofast') or any(k.startswith(o) for o in a.arms)}
    train = store.rows('train')
    w = class_weights(np.bincount(store.label[train], minlength=len(store.vocab)), a.alpha)[store.label[train]]
    draw = lambda n,seed: np.random.default_rng(seed).choice(train, n, p=w/w.sum())
    for k,f in fns.items(): check(k, take(f, draw(4*BS, 0))[2], size)
    res = {k:[] for k in fns}
    for r in range(a.rounds):
        for k,f in fns.items():
            res[k].append(take(f, draw(a.n_fast if k.startswith('zoofast') else a.n_slow, r+1))[:2])
            print(f'{size} px, round {r+1}: {k}: {res[k][-1][0]:,.0f} images/s, {res[k][-1][1]:,.0f} us CPU', flush=True)
    def row(k, base):
        fast,lean = zip(*[(x[0]/y[0], y[1]/x[1]) for x,y in zip(res[k], res[base])])
        return dict(name=k, size=size, images_per_second=st.median(o[0] for o in res[k]), cpu_us_per_image=st.median(o[1] for o in res[k]),
            ratio=st.median(fast), ratios=sorted(fast), cpu_ratio=st.median(lean), cpu_ratios=sorted(lean), baseline=base)
    plain = 'fastai, no augmentation'
    rows = [row(k, plain if 'no aug' in k and plain in res else 'fastai') for k in fns]
    mine = next(o for o in rows if o['name']=='zoofast')
    for net in a.nets:
        wall,cpu = step_time(net, size, len(store.vocab), a.steps)
        load = 1e6/mine['images_per_second']
        share = dict(share=load/(load+wall), cpu_share=mine['cpu_us_per_image']/(mine['cpu_us_per_image']+cpu))
        rows.append(dict(name=f'training step of {net}', size=size, images_per_second=1e6/wall, cpu_us_per_image=cpu, ratio=None)|share)
    return rows

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--n', type=int, default=20000, help='number of files')
    p.add_argument('--sizes', type=int, nargs='+', default=[128, 224])
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--n-slow', type=int, default=8192, help='images a round for arms that read files')
    p.add_argument('--n-fast', type=int, default=16384, help='images a round for zoofast')
    p.add_argument('--arms', nargs='*', help='beginnings of names of arms; default: all')
    p.add_argument('--nets', nargs='*', default=['resnet18', 'resnet10t'], help='timm nets whose training step the sampler is compared with')
    p.add_argument('--steps', type=int, default=5, help='timed training steps of each net')
    p.add_argument('--alpha', type=float, default=.5, help='weighted sampling, n_c^-alpha')
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--json')
    a = p.parse_args()
    threads = set_threads(a.threads)
    import torch
    torch.set_num_threads(threads)
    warnings.filterwarnings('ignore')
    items,store = files_and_store(a.data, a.n, valid=.1)
    for f in items.path: open(f, 'rb').read()     # into the page cache, and the store too
    store.pixels[::4096].sum()
    rows = [o for size in a.sizes for o in bench(items, store, size, a)]
    report(a, rows, ['name', 'size', 'images_per_second', 'cpu_us_per_image', 'ratio', 'cpu_ratio', 'baseline', 'share', 'cpu_share'],
        images=len(items), bytes_per_image=len(store.pixels)/len(store), threads=threads)

if __name__=='__main__': main()
