"""How fast do image files become normalised, augmented float32 batches on a CPU?

Claims, on 2 cores, at 128 and 224 px (targets until a stored result says more):
  zoofast (a fastai DataLoader over a packed Store, weighted sampling): at least 20 times the images/s of fastai's DataBlock (PILImageBW,
  Resize, aug_transforms, one worker a core) on the same files, and at least 25 times less CPU time an image; at least 2 times FFCV at
  128 px and 5 times at 224 px. Evaluation batches: at least 30 times the same DataBlock; against its fair rival, fastai without
  augmentation, see `like_ratio`.

    python benchmarks/loading.py --json loading.json            # 20,000 synthetic PNGs with ZooCAM's sizes; some seven minutes
    python benchmarks/loading.py --data FOLDER --n 20000        # any folder of class folders
    python benchmarks/loading.py --quick                        # a minute, to see it work

How: all arms take turns in one process, round after round; the images are in the page cache. Numbers are medians over rounds; ratios
are taken within a round, and their medians reported: `ratio` and `cpu_ratio` against fastai with augmentation, `like_ratio` and
`like_cpu_ratio` of evaluation arms against fastai without, `ffcv_ratio` of zoofast's training arm against FFCV. CPU time is user +
system of the process and its workers. Not timed: making the DataBlock, the Store, shards or the .beton file, and JIT compilation;
starting the workers is. A batch is 64 x 1 x S x S float32, normalised by the same mean and std. Images are drawn with the same weights
n_c^-1/2 from the same training files, except by webdataset, which reads its shards in order. The JSON is written after each round.

webdataset and FFCV take part when they are installed (`pip install webdataset`; FFCV 1.0.2 must be built, see README.md). FFCV holds
three channels, crops and flips only, one channel of its batches is kept; timm crops and flips only; torchvision squishes.
"""
import argparse, gc, io, os, statistics as st, tarfile, time, warnings
from importlib.util import find_spec
from pathlib import Path
from common import BS, ROT, ZOOM, cache_dir, cpu_children, cpu_self, fastai_dls, files_and_store, report, set_threads, workers

PLAIN,FASTAI,MINE = 'fastai, evaluation','fastai','zoofast'

class Pairs:
    "Items for a torch DataLoader"
    def __init__(self, xs, ys, read): self.xs,self.ys,self.read = xs,ys,read
    def __len__(self): return len(self.xs)
    def __getitem__(self, i): return self.read(self.xs[i]),self.ys[i]

def torchvision_tfm(size, mean, std):
    import torch
    from torchvision.transforms import v2
    pose = v2.RandomAffine(ROT, scale=(1/ZOOM, ZOOM), interpolation=v2.InterpolationMode.BILINEAR, fill=255)
    return v2.Compose([v2.Resize((size, size), antialias=True), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), pose,
        v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])

def torchvision_dl(xs, ys, size, mean, std, read):
    "torchvision v2: resize, flips, affine and normalise each item in workers"
    import torch
    tfm = torchvision_tfm(size, mean, std)
    return torch.utils.data.DataLoader(Pairs(xs, ys, lambda o: tfm(read(o))), BS, shuffle=True, num_workers=workers(), drop_last=True)

def timm_dl(files, ys, size, mean, std):
    "timm: RandomResizedCrop, flips, normalise in workers; it neither pads nor rotates, so it does less than the others"
    from timm.data import ImageDataset, create_loader
    files = Pairs(files, ys, lambda o: open(o, 'rb'))
    data = ImageDataset('', reader=files, input_img_mode='L')
    return create_loader(data, (1, size, size), BS, is_training=True, use_prefetcher=False, num_workers=workers(), persistent_workers=False,
        scale=(1/ZOOM**2, 1), hflip=.5, vflip=.5, color_jitter=None, interpolation='bilinear', mean=tuple(mean), std=tuple(std))

def shards(path, ys, out, each=1000):
    "The files as tar archives, once"
    urls = [out/f'{k:04d}.tar' for k in range(max(workers(), len(path)//each))]
    if not out.exists():
        tmp = out.with_name(out.name+'.partial')
        tmp.mkdir(parents=True, exist_ok=True)
        for k,u in enumerate(urls):
            with tarfile.open(tmp/u.name, 'w') as tar:
                for i in range(k, len(path), len(urls)):
                    for ext,b in (('img', Path(path[i]).read_bytes()), ('cls', str(ys[i]).encode())):
                        o = tarfile.TarInfo(f'{i:07d}.{ext}')
                        o.size = len(b)
                        tar.addfile(o, io.BytesIO(b))
        os.replace(tmp, out)
    return [str(o) for o in urls]

def webdataset_dl(urls, n, size, mean, std):
    "webdataset: tar shards, a shuffle buffer of 1,000, torchvision v2 for the rest; `n` images altogether"
    import torch, webdataset as wds
    from torchvision.io import ImageReadMode, decode_image
    tfm = torchvision_tfm(size, mean, std)
    def read(o): return tfm(decode_image(torch.frombuffer(bytearray(o['img']), dtype=torch.uint8), ImageReadMode.GRAY)),int(o['cls'])
    ds = wds.WebDataset(urls, resampled=True, shardshuffle=False).shuffle(1000).map(read).batched(BS).with_epoch(-(-n//(BS*workers())))
    return wds.WebLoader(ds, batch_size=None, num_workers=workers())

def ffcv_loader(store, rows, size, mean, std):
    "FFCV: raw RGB in a memory map, random resized crop and horizontal flip in compiled threads"
    import numpy as np
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter
    f = cache_dir()/f'{store.path.stem}.beton'
    if not f.exists():
        data = Pairs(range(len(store)), store.label.tolist(), lambda i: np.repeat(store[i][..., None], 3, 2))
        tmp = f.with_suffix('.partial')
        DatasetWriter(str(tmp), dict(image=RGBImageField(write_mode='raw'), label=IntField()), num_workers=workers()).from_indexed_dataset(data)
        os.replace(tmp, f)
    norm = NormalizeImage(np.array(mean*3)*255, np.array(std*3)*255, np.float32)
    image = [RandomResizedCropRGBImageDecoder((size, size), scale=(1/ZOOM**2, 1)), RandomHorizontalFlip(), norm, ToTensor(), ToTorchImage()]
    return Loader(str(f), BS, num_workers=int(os.environ['OMP_NUM_THREADS']), os_cache=True, order=OrderOption.SEQUENTIAL, indices=rows,
        pipelines=dict(image=image, label=[IntDecoder(), ToTensor(), Squeeze()]), drop_last=True)

def ffcv_arm(store, rows, size, mean, std):
    "rows -> batches, from one loader, which is compiled once"
    loader = ffcv_loader(store, rows, size, mean, std)
    def arm(r):
        loader.indices = loader.traversal_order.indices = r.astype('uint64')
        return ((x[:, :1],y) for x,y in loader)
    return arm

def arms(items, store, size, alpha):
    "name -> rows -> iterable of batches"
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
    fns = {FASTAI: fastai(True), PLAIN: fastai(False), 'torchvision v2': torchvision,
        'timm (crop and flips only)': lambda r: timm_dl(path[r].tolist(), code[r].tolist(), size, mean, std)}
    if find_spec('webdataset'):
        train = store.rows('train')
        urls = shards(path[train], code[train], cache_dir()/f'{store.path.stem}.wds')
        fns['webdataset + torchvision v2'] = lambda r: webdataset_dl(urls, len(r), size, mean, std)
    fns['store + torchvision v2'] = packed
    if find_spec('ffcv'): fns['FFCV (RGB, crop and flip only)'] = ffcv_arm(store, store.rows('train'), size, mean, std)
    return fns | {MINE: endless, f'{MINE}, evaluation': dls.test_dl}

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

def summary(res, size):
    "Medians of the rounds so far"
    def each(k, base):
        "images/s and CPU time of `k` against `base`, round by round"
        return [sorted(o) for o in zip(*[(x[0]/y[0], y[1]/x[1]) for x,y in zip(res[k], res[base])])]
    def row(k):
        (fast,lean),ffcv = each(k, FASTAI),next((o for o in res if o.startswith('FFCV')), None)
        o = dict(name=k, size=size, images_per_second=st.median(o[0] for o in res[k]), cpu_us_per_image=st.median(o[1] for o in res[k]),
            ratio=st.median(fast), cpu_ratio=st.median(lean), ratios=fast, cpu_ratios=lean)
        if k.endswith('evaluation') and PLAIN in res: o |= dict(zip(('like_ratio', 'like_cpu_ratio'), map(st.median, each(k, PLAIN))))
        if k==MINE and ffcv: o |= dict(zip(('ffcv_ratio', 'ffcv_cpu_ratio'), map(st.median, each(k, ffcv))))
        return o
    return [row(k) for k in res if res[k]]

def bench(items, store, size, a):
    "Rounds of all arms at one size; rows after each"
    import numpy as np
    from zoofast.data.sampling import class_weights
    fns = arms(items, store, size, a.alpha)
    if a.arms: fns = {k:v for k,v in fns.items() if k in (FASTAI, MINE) or any(k.startswith(o) for o in a.arms)}
    train = store.rows('train')
    w = class_weights(np.bincount(store.label[train], minlength=len(store.vocab)), a.alpha)[store.label[train]]
    draw = lambda n,seed: np.random.default_rng(seed).choice(train, n, p=w/w.sum())
    for k,f in fns.items(): check(k, take(f, draw(4*BS, 0))[2], size)
    res,n = {k:[] for k in fns},lambda k: a.n_fast if k.startswith(MINE) else a.n_slow
    for r in range(a.rounds):
        for k,f in fns.items():
            res[k].append(take(f, draw(n(k), r+1))[:2])
            print(f'{size} px, round {r+1}: {k}: {res[k][-1][0]:,.0f} images/s, {res[k][-1][1]:,.0f} us CPU', flush=True)
        yield summary(res, size)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--n', type=int, default=20000, help='number of files')
    p.add_argument('--sizes', type=int, nargs='+', default=[64, 128, 224])
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--n-slow', type=int, default=8192, help='images a round for arms that read files, and FFCV')
    p.add_argument('--n-fast', type=int, default=32768, help='images a round for zoofast')
    p.add_argument('--arms', nargs='*', help='beginnings of names of arms; default: all')
    p.add_argument('--alpha', type=float, default=.5, help='weighted sampling, n_c^-alpha')
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--quick', action='store_true', help='a minute, to see it work: few images, one round, 64 px')
    p.add_argument('--json')
    a = p.parse_args()
    if a.quick: a.n,a.sizes,a.rounds,a.n_slow,a.n_fast = 600,[64],1,256,1024
    threads = set_threads(a.threads)
    import torch
    torch.set_num_threads(threads)
    warnings.filterwarnings('ignore')
    items,store = files_and_store(a.data, a.n, valid=.1)
    for f in items.path: open(f, 'rb').read()     # into the page cache, and the store too
    store.pixels[::4096].sum()
    for o in ('webdataset', 'ffcv'):
        if not find_spec(o): print(f'{o} is not installed: its arm is left out')
    cols = ['name', 'size', 'images_per_second', 'cpu_us_per_image', 'ratio', 'cpu_ratio', 'like_ratio', 'like_cpu_ratio', 'ffcv_ratio', 'ffcv_cpu_ratio']
    res,more = {},dict(images=len(items), bytes_per_image=len(store.pixels)/len(store), threads=threads)
    def save(show=False): report(a, [o for rows in res.values() for o in rows], cols, show=show, **more)
    try:
        for size in a.sizes:
            for rows in bench(items, store, size, a):
                res[size] = rows
                save()
    except KeyboardInterrupt: print('interrupted')
    save(show=True)

if __name__=='__main__': main()
