"""How many answers does a person give until every image has its name, with images on pages in one order or another?

    zoofast pack FOLDER ndsb.zoo --valid 0.2 --test 0.2 --seed 42
    python benchmarks/grouping.py ndsb.zoo MODEL ... --json outputs/benchmarks/grouping.json

Counted, not timed: a person who makes no mistake looks at the labelled test images, sixty a page, and gives one answer for all images of a page that have the same name. `bare`: nothing is proposed, one answer for each class that is on a
page. `proposed`: each image comes with the class that the net finds most probable; one answer confirms a page, and one more is needed for each class among the images that are then still wrong. Selecting them takes a click each, which
is not counted. MODEL is the folder of a net; it gives proposals, places (`embed`) and the order by class. Features are measured on the pixels and know no net. Nothing is chosen by the results.
`--quick` draws a store and takes a table of predictions with labels instead of a MODEL: no places then.
"""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.core import versions, write_json
from zoofast.data.features import measure
from zoofast.data.store import Store
from zoofast.data.synth import tiny_store
from zoofast.preds import Preds
from zoofast.science.groups import in_groups
from zoofast.science.relabel import _pages

def answers(order, true, said, per=60):
    "(pages, answers without proposals, answers with them)"
    pages = [order.id[a:b] for a,b in _pages(order.group if 'group' in order else ['']*len(order), per)]
    return len(pages),sum(len({true[i] for i in o}) for o in pages),sum(1+len({true[i] for i in o if said[i]!=true[i]}) for o in pages)

def orders(x, p, store, rows, kinds, draws):
    for s in range(draws): yield f'random {s}',pd.DataFrame(dict(id=np.random.default_rng(s).permutation(p.ids)))
    yield 'class',in_groups(p)
    if hasattr(x, 'x'): yield 'places',in_groups(x)
    for k in kinds: yield k,in_groups(p, measure(store, k, rows, cache=False))

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('store', nargs='?'), a.add_argument('models', nargs='*'), a.add_argument('--json', default='grouping.json')
    a.add_argument('--draws', type=int, default=3), a.add_argument('--quick', action='store_true')
    a = a.parse_args()
    store,res = tiny_store() if a.quick else Store(a.store),[]
    rows = store.rows('test', labelled=True)
    true = dict(zip(store.ids[rows], np.array(store.vocab)[store.label[rows]]))
    for k,m in enumerate(['drawn'] if a.quick else a.models):
        if a.quick: x = Preds(store.ids[rows], store.vocab, np.random.default_rng(0).normal(size=(len(rows), 6))+2*np.eye(6)[store.label[rows]])
        else:
            from zoofast.science.embed import embed
            x = embed(m, store, rows)
        p = getattr(x, 'preds', x)
        said = dict(zip(p.ids, p.labels))
        for name,o in orders(x, p, store, rows, ['size'] if a.quick or k else ['size','moments','size moments haralick'], a.draws):
            n,bare,proposed = answers(o, true, said)
            res.append(dict(net=k, accuracy=np.mean([said[i]==c for i,c in true.items()]), order=name.split(' ')[0] if name.startswith('random') else name, pages=n, bare=bare, proposed=proposed))
            print(res[-1], flush=True)
    t = pd.DataFrame(res)
    m = t.groupby('order', sort=False)[['pages','bare','proposed']].mean().reset_index()
    print(m.round(0).to_string(index=False))
    write_json(dict(images=len(rows), classes=len(set(true.values())), versions=versions(), means=m.round(1).to_dict('records'), runs=t.round(4).to_dict('records')), a.json)

if __name__=='__main__': main()
