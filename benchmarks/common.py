"""What the benchmarks share: the machine, CPU time and memory of a process tree, images, rows of results.  Linux only (/proc)."""
import hashlib, os, platform, resource, subprocess, sys, threading, time
from pathlib import Path
import numpy as np
from zoofast.core import versions as zoo_versions, write_json

BS,ROT,ZOOM = 64,180,1.2                          # batch size; degrees and zoom of the random poses
LOAD = os.getloadavg()[0]
KEYS = 'name', 'size', 'images_per_second', 'cpu_us_per_image', 'ratio'          # what every row of a JSON file has

def set_threads(n):
    "Let every library use `n` threads and sleep, not spin, while it waits; call before torch and numba are imported"
    n = n or len(os.sched_getaffinity(0))
    for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMBA_NUM_THREADS'): os.environ[k] = str(n)
    os.environ['OMP_WAIT_POLICY'] = 'passive'
    return n

def workers():
    "Processes of the loaders that read files: as many as threads, at least 2"
    return max(2, int(os.environ['OMP_NUM_THREADS']))

SIMD = 'avx2', 'avx512f', 'avx512_bf16', 'amx_bf16'        # what decides the speed of kernels and of half precision

def machine():
    info = [o.split(':', 1) for o in open('/proc/cpuinfo') if ':' in o]
    cpu,flags = (next((v.strip() for k,v in info if k.strip()==o), '') for o in ('model name', 'flags'))
    ram = os.sysconf('SC_PAGE_SIZE')*os.sysconf('SC_PHYS_PAGES')/2**30
    m = dict(cpu=cpu or platform.processor(), simd=[o for o in SIMD if o in flags.split()], cores=len(os.sched_getaffinity(0)), ram_gib=round(ram, 1), load_before=LOAD)
    cuda = getattr(sys.modules.get('torch'), 'cuda', None)
    return m | dict(gpu=cuda.get_device_name()) if cuda and cuda.is_available() else m

def versions():
    from importlib.metadata import PackageNotFoundError, version
    def v(o):
        try: return version(o)
        except PackageNotFoundError: pass
    more = {o:v(o) for o in ('torchvision', 'numba', 'pillow', 'pandas', 'triton', 'webdataset', 'ffcv')}
    return zoo_versions() | {k:o for k,o in more.items() if o}

def cpu_self():
    "User and system time of this process"
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])

def cpu_children():
    "User and system time of its children that have ended"
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

def cpu_seconds(): return cpu_self()+cpu_children()

def tree(pid):
    "`pid` and its descendants"
    try: kids = [int(k) for t in os.listdir(f'/proc/{pid}/task') for k in open(f'/proc/{pid}/task/{t}/children').read().split()]
    except OSError: return []
    return [pid] + [o for k in kids for o in tree(k)]

def memory(pid, exact=False):
    "Bytes that `pid` and its descendants hold beyond the page cache; `exact` counts what forks share once, and is slower"
    keys,file = (('Pss_Anon:', 'Pss_Shmem:'), 'smaps_rollup') if exact else (('RssAnon:', 'RssShmem:'), 'status')
    kb = 0
    for p in tree(pid):
        try: kb += sum(int(o.split()[1]) for o in open(f'/proc/{p}/{file}') if o.startswith(keys))
        except OSError: pass
    return kb*1024

def watch(cmd, exact=False, every=.05):
    "Run `cmd`; its output and the peak memory of its process tree"
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True)
    text = []
    reader = threading.Thread(target=lambda: text.append(p.stdout.read()))
    reader.start()
    peak = 0
    while p.poll() is None:
        peak = max(peak, memory(p.pid, exact))
        time.sleep(every)
    reader.join()
    if p.returncode: sys.exit(f'{" ".join(map(str, cmd))} failed with {p.returncode}')
    return text[0], peak

def cache_dir():
    d = Path(os.environ.get('XDG_CACHE_HOME') or Path.home()/'.cache')/'zoofast'/'bench'
    d.mkdir(parents=True, exist_ok=True)
    return d

def files(data, n, valid=.1, seed=42):
    "Items, split, of `n` real or synthetic image files; what is drawn is kept in the cache"
    from zoofast.data.items import items_from_folder
    from zoofast.data.splits import split_items
    from zoofast.data.synth import synth_folder
    if data is None:
        data = cache_dir()/f'synth-{n}'
        if not data.exists(): synth_folder(data, n, seed=seed)
    items = items_from_folder(data)
    if n and n < len(items): items = items.iloc[np.sort(np.random.default_rng(seed).permutation(len(items))[:n])].reset_index(drop=True)
    return split_items(items, valid, seed=seed),Path(data).resolve()

def files_and_store(data, n, valid=.1, seed=42):
    "Items of image files, and the Store of the same files in the same order; both are kept in the cache"
    from zoofast.data.store import Store, pack
    items,data = files(data, n, valid, seed)
    out = cache_dir()/f'{data.name}-{len(items)}-{hashlib.blake2b(bytes(data), digest_size=3).hexdigest()}.store'
    store = Store(out) if out.exists() else pack(items, out)
    assert list(store.ids)==list(items.id), f'{out} holds other images: delete it'
    return items, store

def fastai_block(vocab, get_y, splitter, size, mean, std, aug):
    "fastai's own way: PIL grey, resize and pad in workers, affine batch transforms"
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, Normalize, PILImageBW, Resize, ResizeMethod, aug_transforms
    pose = dict(flip_vert=True, max_rotate=ROT, min_zoom=1/ZOOM, max_zoom=ZOOM, max_lighting=0, max_warp=0, pad_mode='border')
    return DataBlock((ImageBlock(PILImageBW), CategoryBlock(vocab=vocab)), get_y=get_y, splitter=splitter,
        item_tfms=Resize(size, ResizeMethod.Pad, pad_mode='border'),
        batch_tfms=[*(aug_transforms(**pose) if aug else []), Normalize.from_stats(mean, std, cuda=False)])

def fastai_dls(files, labels, vocab, size, mean, std, aug, valid=False):
    "DataLoaders of `fastai_block`; the files are the train part, or the valid part"
    def split(o): return ([0], [*range(1, len(o))]) if valid else ([*range(1, len(o))], [0])
    block = fastai_block(vocab, dict(zip(files, labels)).get, split, size, mean, std, aug)
    return block.dataloaders([files[0], *files], bs=BS, num_workers=workers(), device='cpu')

def table(rows, cols):
    "Rows as aligned text"
    def form(v):
        if isinstance(v, (int, float)) and abs(v)>=100: return f'{v:,.0f}'
        return f'{v:.3g}' if isinstance(v, float) else '' if v is None else str(v)
    cells = [cols] + [[form(r.get(c)) for c in cols] for r in rows]
    wide = [max(len(r[k]) for r in cells) for k in range(len(cols))]
    return '\n'.join('  '.join(o.ljust(w) if k==0 else o.rjust(w) for k,(o,w) in enumerate(zip(r, wide))) for r in cells)

def report(a, rows, cols, show=True, **extra):
    "Print the table; write machine, versions, rows and settings as JSON; `a` are the arguments of the command line; `show=False` only writes, for runs that may be interrupted"
    assert all(set(KEYS) <= set(o) for o in rows)
    if show: print(table(rows, cols))
    settings = {k:v for k,v in vars(a).items() if k not in ('json', 'store', 'plot') and v is not None}
    if getattr(a, 'data', None): settings['data'] = Path(a.data).name
    if a.json: write_json(dict(machine=machine(), versions=versions(), rows=rows, settings=settings|extra), a.json)
