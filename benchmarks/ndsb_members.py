"""The images of the National Data Science Bowl (121 classes), three small members from scratch on a CPU, eight views, an ensemble: honest scores.

    python benchmarks/ndsb_members.py FOLDER --out outputs/ndsb

FOLDER holds one folder of images a class. 10% of the images are set aside, stratified, seed 42, and nothing is chosen on them: every member keeps its last epoch, the uniform ensemble has no
free number, and the fitted ensemble weights of each half of the 10% come from the other half (cross-fitting). What is written: scores.csv and .json, recipes, curves, confusion and mistakes.
"""
import argparse, os, time
p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument('folder', help='class folders of images')
p.add_argument('--out', default='outputs/ndsb', help='where results go; models and the store are kept there too')
p.add_argument('--recipes', nargs='+', default=['ndsb-resnet', 'ndsb-efficientnet', 'ndsb-convnext'], help='names or YAML files')
p.add_argument('--set', nargs='*', default=[], help='key=value for all recipes, such as epochs=1 for a trial')
p.add_argument('--tta', default='d4')
p.add_argument('--train-only', action='store_true', help='leave the scores to a later run: members may be trained side by side, one a core, with --threads 1')
p.add_argument('--threads', type=int, help='of every library; none: one a core')
p.add_argument('--json', help='also write the rows here')
args = p.parse_args()

from common import set_threads, machine, versions, cpu_seconds
set_threads(args.threads)
from pathlib import Path
import numpy as np, pandas as pd, torch
from zoofast.core import write_json, atomic_write
from zoofast.data.items import items_from_folder
from zoofast.data.splits import split_items
from zoofast.data.store import Store, pack
from zoofast.train.recipes import get_recipe
from zoofast.learner import train
from zoofast.members import load_model
from zoofast.tta import predict_members
from zoofast.committee import combine
from zoofast.weights import cross_fit
from zoofast.science.plots import plot_confusion, plot_curves, score_table, show_errors, top_confusions

out = Path(args.out); out.mkdir(parents=True, exist_ok=True)
if not (out/'store').exists(): pack(split_items(items_from_folder(args.folder), valid=.1, seed=42), out/'store')
store = Store(out/'store')
print(store)

names,cost = [],{}
for r in args.recipes:
    spec = get_recipe(r).with_('keep=last', *args.set)
    name = Path(r).stem
    names.append(name); spec.save(out/f'{name}.yaml')
    if (out/'models'/name).exists(): continue
    t,c = time.perf_counter(),cpu_seconds()
    train(spec, store, out/'models'/name)
    cost[name] = dict(train_seconds=round(time.perf_counter()-t), train_cpu_seconds=round(cpu_seconds()-c))
    write_json(cost[name], out/'models'/f'{name}.json')

if args.train_only: raise SystemExit
members,rows,seconds = [load_model(out/'models'/n) for n in names],store.rows('valid'),{}
for views in ('none', args.tta):
    t = time.perf_counter()
    seconds[views] = predict_members(members, store, rows, views), time.perf_counter()-t
table = {}
for views,(ps,_) in seconds.items():
    one = dict(zip(names, ps))
    table |= {(n,views):p for n,p in one.items()}
    if len(one)>1:
        table['ensemble, equal weights',views] = combine(one)
        table['ensemble, weights cross-fitted',views] = cross_fit(one, k=2)
scores = score_table(table)
for n in names:
    f = out/'models'/f'{n}.json'
    if f.exists(): scores.loc[scores.name==n, list(d)] = list((d := pd.read_json(f, typ='series').to_dict()).values())
print(scores.round(4).to_string(index=False))
with atomic_write(out/'scores.csv') as f: scores.to_csv(f, index=False)
final = table['ensemble, equal weights' if len(names)>1 else names[0],args.tta]
final.save(out/'preds.parquet')
plot_curves({n:out/'models'/n/'history.csv' for n in names}).save(out/'curves.png')
plot_confusion(final, groups={c:c.split('_')[0] for c in final.vocab}).save(out/'confusion.png')
show_errors(store, final).save(out/'errors.png')
with atomic_write(out/'confusions.csv') as f: top_confusions(final).to_csv(f, index=False)
result = dict(machine=machine(), versions=versions(), data=dict(images=len(store), classes=len(store.vocab), held_out=len(rows), seed=42),
              predict_seconds={k:round(v[1],1) for k,v in seconds.items()}, rows=scores.to_dict('records'))
write_json(result, out/'scores.json')
if args.json: write_json(result, args.json)
