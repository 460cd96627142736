"""Does a net notice plankton it has never seen? Ten of the 121 classes of the National Data Science Bowl are hidden from the training, several draws of ten.

    zoofast pack FOLDER ndsb.zoo --valid 0.2 --test 0.2 --seed 42
    python benchmarks/novelty.py ndsb.zoo --save outputs/benchmarks/novelty

The nets are those of inria.yaml with its baseline arm (48 px, 6 epochs, nothing pretrained, the last epoch). Limits come from validation images of the known classes and are to keep 95% of their images; what they keep is
counted on test images of the known classes, what they catch on all images of the hidden ones. Nothing is chosen by the results: every kind of strangeness has the settings of the library, and the draws depend on the seed and
the names of the classes alone. Models are kept in --out, so that an interrupted run goes on where it was.

Each draw hides its own classes from its own net. `by_class` in table.csv is the mean AUROC of the hidden classes of a draw, with a 95% interval over classes; over.csv has the mean over draws and their spread.
`--quick` runs a store that is drawn, two classes hidden, to show in a minute that the script works.
"""
import argparse, sys, tempfile
from pathlib import Path
import pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.core import versions, write_json
from zoofast.data.store import Store
from zoofast.data.synth import tiny_store
from zoofast.outputs import write_csv
from zoofast.plan import as_plan
from zoofast.science.unseen import leave_out, plot_novelty, show_novelty
from zoofast.train.spec import Spec

def over_draws(t):
    "Mean and spread over draws of classes"
    g = t.groupby('kind', sort=False)[['auroc','by_class','kept','caught','right','right_before']]
    return pd.concat([g.mean(), g.std().add_suffix('_sd')], axis=1).assign(draws=t.groupby('kind', sort=False).size()).reset_index()

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('store', nargs='?')
    p.add_argument('--plan', default=Path(__file__).with_name('inria.yaml'))
    p.add_argument('--left', type=int, default=10, help='classes to hide')
    p.add_argument('--draws', type=int, default=3, help='of classes, each with a net of its own')
    p.add_argument('--epochs', type=int, help='other than those of the plan')
    p.add_argument('--keep', type=float, default=.95)
    p.add_argument('--out', default='outputs/novelty', help='folder of the models')
    p.add_argument('--save', help='folder for tables and pictures')
    p.add_argument('--quick', action='store_true')
    a = p.parse_args()
    if not a.quick and not a.store: p.error('give a store, or --quick')
    if a.quick: store,spec,a.left,a.draws,a.out = tiny_store(),Spec(arch='test_resnet', size=32, epochs=3, bs=24, lr=6e-3, amp=None),2,2,tempfile.mkdtemp()
    else:
        plan = as_plan(a.plan)
        store,spec = Store(a.store),plan.arms[plan.baseline]
    if a.epochs: spec = spec.with_(epochs=a.epochs)
    tables,classes = [],[]
    for s in range(a.draws):
        res = leave_out(spec.with_(seed=s), store, a.left, s, Path(a.out)/f'draw-{s}', a.keep, progress=False)
        tables.append(res.table.assign(draw=s)), classes.extend(res.classes(k).assign(draw=s, kind=k) for k in res.limits)
        print(f'draw {s}: without {", ".join(res.left)}\n{res.table.round(3).to_string(index=False)}', flush=True)
        if not a.save: continue
        out,t = Path(a.save),pd.concat(tables, ignore_index=True)
        write_csv(t.round(5), out/'table.csv'), write_csv(over_draws(t).round(5), out/'over.csv'), write_csv(pd.concat(classes, ignore_index=True).round(5), out/'classes.csv')
        if s==0: plot_novelty(res).save(out/'novelty.png', 110), show_novelty(store, res).save(out/'images.png', 110)
        write_json(dict(store=store.path.name, images=len(store), left=a.left, draws=s+1, keep=a.keep, spec=str(spec), versions=versions()), out/'about.json')
    print(over_draws(pd.concat(tables, ignore_index=True)).round(3).to_string(index=False))

if __name__=='__main__': main()
