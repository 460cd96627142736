"""What does it cost to train one net by two processes instead of one, when both ways have the same cores?

Measured on two cores: no gain there. Two ranks with one core each reach .53 of the images/s of one process with two threads when batch norms are
taken over all ranks (the default, which makes N processes fit as one does), and .85 with batch norms of their own: the small sums of batch norms wait for each other through gloo. Of GPUs this says nothing: there the ranks talk through NCCL while they compute.

    python benchmarks/ranks.py --json outputs/benchmarks/ranks.json      # resnet18 at 64 px; four minutes on 2 cores, which should have nothing else to do
    python benchmarks/ranks.py --quick                                   # a minute, to see it work

How: the arms take turns, round after round, as forks of one process that has imported everything; a turn is `--warm` steps that are not timed, then `--steps` that are, without validation. Each step
learns from `--bs` images, all ranks together, so that every arm does the same arithmetic. Numbers are medians over rounds, `ratio` is taken within a round, against one process with as many threads
as the ranks have together. CPU time is that of all processes of a turn, warm-up and start included: on a busy machine it is the steadier number.

    1 x 1       one process, one thread
    1 x N       one process, N threads (N: --cores)
    N x 1       N ranks, a thread each: gloo, batch norms over all ranks
    N x 1, own  the same, each rank with batch norms of its own (sync_bn=False)
"""
import argparse, statistics as st, time, warnings
from common import cpu_children, files_and_store, report, set_threads

COLS = 'name size images_per_second cpu_us_per_image ratio'.split()

def timed(store, a, threads, sync_bn):
    "What a rank does in a turn: seconds of the timed steps"
    import torch
    from fastai.callback.core import Callback, CancelFitException
    from numba import config
    from zoofast.data.dls import store_dls
    from zoofast.learner import zoo_learner
    import zoofast.scale.ddp
    torch.set_num_threads(threads)
    config.NUMBA_NUM_THREADS = threads
    class Clock(Callback):
        order,run_valid = 200,False
        def after_batch(self):
            if self.iter+1==a.warm: self.t = time.perf_counter()
            if self.iter+1==a.warm+a.steps: self.seconds = time.perf_counter()-self.t; raise CancelFitException()
    learn = zoo_learner(store_dls(store, a.size, bs=a.bs, alpha=.5, device='cpu'), a.net, channels_last=True, seed=42, cbs=Clock())
    learn.logger = lambda *o: None
    with learn.distrib(sync_bn), learn.no_bar(): learn.fit_one_cycle(1, 1e-3)
    return learn.clock.seconds

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--n', type=int, default=4000, help='number of files')
    p.add_argument('--net', default='resnet18')
    p.add_argument('--size', type=int, default=64)
    p.add_argument('--bs', type=int, default=64, help='images a step, all ranks together')
    p.add_argument('--steps', type=int, default=16)
    p.add_argument('--warm', type=int, default=2)
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--cores', type=int, default=2)
    p.add_argument('--quick', action='store_true', help='a minute, to see it work')
    p.add_argument('--json')
    a = p.parse_args()
    if a.quick: a.n,a.net,a.size,a.bs,a.steps,a.rounds = 600,'resnet10t',32,32,3,1
    set_threads(1)                                 # the parent: no pool of threads may exist when it forks
    warnings.filterwarnings('ignore')
    from zoofast.train.ranks import fork_ranks
    _,store = files_and_store(a.data, a.n, valid=.1)
    n = a.cores
    arms = {'1 x 1':(1, 1, True), f'1 x {n}':(1, n, True), f'{n} x 1':(n, 1, True), f'{n} x 1, own':(n, 1, False)}
    secs,cpus = {k:[] for k in arms},{k:[] for k in arms}
    for _ in range(a.rounds):
        for k,(ranks,threads,sync) in arms.items():
            c = cpu_children()
            secs[k].append(max(fork_ranks(lambda: timed(store, a, threads, sync), ranks, seconds=600)))
            cpus[k].append(cpu_children()-c)
        rows = [dict(name=k, size=a.size, images_per_second=a.bs*a.steps/st.median(secs[k]), cpu_us_per_image=1e6*st.median(cpus[k])/(a.bs*(a.steps+a.warm)),
                     ratio=st.median(x/y for x,y in zip(secs[f'1 x {n}'], secs[k]))) for k in arms]
        report(a, rows, COLS, show=False)
    report(a, rows, COLS)

if __name__=='__main__': main()
