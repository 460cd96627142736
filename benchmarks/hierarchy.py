"""Does a tree help? Flat nets and nets with branches at equal compute, level by level: Tables 4 to 7 of Inria Chile's report, with the control it lacked.

    python benchmarks/hierarchy.py ndsb.zoo --save outputs/benchmarks/hierarchy
    python benchmarks/hierarchy.py ndsb.zoo --plan benchmarks/hierarchy_frozen.yaml --start outputs/hierarchy --out outputs/hierarchy-frozen --save outputs/benchmarks/hierarchy_frozen
    python benchmarks/hierarchy.py drawn.zoo --tree synth --out outputs/hierarchy-drawn --save outputs/benchmarks/hierarchy_drawn

The second puts branches on the first flat net of the first study, frozen, as the report did. The third is the embedded set, drawn where it is missing (4,000 images).

Trains the arms of hierarchy.yaml where they are not trained yet (`--part 1/2` and `--part 2/2` side by side; then once more without), predicts the test part at every level of the tree, and saves the
tables, the paired differences and the pictures. Nothing is chosen on the test part: every net keeps its last epoch, one view. `flat` names the groups above the class it has chosen; `flat, rolled up`
is the same nets, each level by the sums of probabilities. Last, how deep `zoofast.descent` can name the images for a promised precision, thresholds fitted on the validation part.
"""
import argparse, sys
from dataclasses import replace
from pathlib import Path
import pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.core import versions, write_json
from zoofast.data.camera import read_synth
from zoofast.data.splits import split_items
from zoofast.data.store import Store, pack
from zoofast.data.synth import synth_items
from zoofast.data.trees import as_tree
from zoofast.descent import fit_descent, risk_area, risk_curve
from zoofast.levels import predict_levels
from zoofast.members import load_model
from zoofast.outputs import write_csv
from zoofast.plan import as_plan
from zoofast.science.flow import flow
from zoofast.science.levels import as_levels, level_tables
from zoofast.science.risk import plot_risk
from zoofast.study import Study, study

def drawn(path):
    "The embedded set as a store"
    if not Path(path).exists(): pack(split_items(synth_items(4000, 0), valid=.2, test=.2, seed=42), path, read=read_synth)
    return Store(path)

def planned(path, tree, start=None):
    "The plan for another tree, and from a net that is there"
    p,own = as_plan(path),dict(tree=tree)
    if start: own['start'] = str(Study(start).path(Study(start).plan.runs[0])/'model')
    return replace(p, arms={k:s.with_(**own) for k,s in p.arms.items()})

def levels_of(st, store, tree, split):
    "{arm: [{level: Preds} of each seed]}"
    res = {}
    for run in st.plan.runs:
        if (st.row(run) or {}).get('state')!='done': continue
        m = load_model(st.path(run)/'model', device='cpu')
        d = predict_levels(store, m, tree=tree, tta='none', rows=store.rows(split, labelled=True), progress=False)
        res.setdefault(run.arm, []).append(d)
    return res

def named(models, tree):
    "The arms as they are reported: a flat net answers in two ways"
    res = {}
    for k,o in models.items():
        if k=='flat': res |= {'flat':[as_levels(d['class'], tree, 'argmax') for d in o], 'flat, rolled up':o}
        else: res[k] = o
    return res

def costs(st):
    "Seconds, epochs and parameters of each arm"
    t = st.table[st.table.state=='done']
    size = lambda a: sum(p.numel() for p in load_model(st.path(next(o for o in st.plan.runs if o.arm==a))/'model', device='cpu').model.parameters())
    return pd.DataFrame([dict(arm=a, runs=len(g), epochs=int(g.trained.iloc[0]), parameters=size(a), seconds=g.seconds.median()) for a,g in t.groupby('arm', sort=False)])

def depths(models, valid, tree, precision):
    "How deep images are named for a promised precision: the tree against class or nothing, thresholds from the validation part"
    rules = {'tree':precision, 'class or nothing':{tree.levels[-1]:precision}}
    return pd.concat([fit_descent(v, tree, w).score(d).assign(model=k, seed=s, rule=r, area=risk_area(risk_curve(d, tree, None if r=='tree' else tree.levels[-1:])))
                      for k in models for s,(d,v) in enumerate(zip(models[k], valid[k])) for r,w in rules.items()])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('store')
    p.add_argument('--plan', default=Path(__file__).with_suffix('.yaml'))
    p.add_argument('--out', default='outputs/hierarchy', help='folder of the study')
    p.add_argument('--save', help='folder for tables and pictures')
    p.add_argument('--part', default='1/1')
    p.add_argument('--tree', default='ndsb')
    p.add_argument('--start', help='the folder of a study, whose first flat net all arms start from')
    p.add_argument('--precision', type=float, default=.9)
    a = p.parse_args()
    store,tree = drawn(a.store) if a.tree=='synth' else Store(a.store),as_tree(a.tree)
    tree = tree.match(store.vocab)
    st = study(planned(a.plan, a.tree, a.start), store, a.out, part=a.part, models=True)
    if a.part!='1/1' or st.stopped or not a.save: return
    out = Path(a.save)
    models = named(levels_of(st, store, tree, st.plan.split), tree)
    t = level_tables(models, tree)
    t.save(out)
    asked = [(s,l) for s in ('macro_f1','accuracy') for l in tree.levels]+[(s,None) for s in ('coherence','consistency','severity')]
    diffs = pd.concat([t.differences(s, l).assign(score=s, level=l or 'path') for s,l in asked])
    write_csv(diffs, out/'differences.csv'), write_csv(costs(st), out/'costs.csv')
    t.plot().save(out/'macro_f1.png'), t.plot('accuracy').save(out/'accuracy.png')
    flat = next(o for o in models if o!='flat')
    valid = levels_of(st, store, tree, 'valid')
    deep = depths({k:o for k,o in models.items() if k!='flat'}, named(valid, tree), tree, a.precision)
    write_csv(deep, out/'depth.csv')
    rule = fit_descent(next(iter(valid.values()))[0], tree, a.precision)
    plot_risk(models[flat][0], tree, {f'promised {a.precision:.0%}':rule}).save(out/'risk.png')
    for k,o in ((flat,'flat'), ('BA','BA')): flow(models[k][0], tree).save(out/f'flow_{o}.png')
    write_json(dict(versions=versions(), images=t.images, precision=a.precision), out/'about.json')
    print(deep[deep['rank']=='any'].groupby(['model','rule'], sort=False)[['share','right','bits','area']].mean().round(3).to_string())
    print(t), print(diffs.round(4).to_string(index=False)), print(costs(st).to_string(index=False))

if __name__=='__main__': main()
