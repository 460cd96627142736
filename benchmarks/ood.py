"""Novelty scores of zoofast and of pytorch-ood on the same numbers of the same nets: are ours right, and would another of its detectors notice more?

    pip install pytorch-ood
    python benchmarks/ood.py ndsb.zoo --out outputs/novelty --json outputs/benchmarks/ood.json

The nets and draws of classes are those of novelty.py (--out is its folder; what is missing is trained). All detectors see the same logits and the same embedding (what the last layer reads) and are fitted on the training images
of the known classes; novel are all images of the hidden classes, known the test images of the others. `rank` is the Spearman correlation of a detector of pytorch-ood with ours of the same name: 1 is the same order.
"""
import argparse, importlib.metadata, sys
from pathlib import Path
import numpy as np, pandas as pd, torch
sys.path.insert(0, str(Path(__file__).parents[1]))
from pytorch_ood import detector as ood
from scipy.stats import spearmanr
from zoofast.core import versions, write_json
from zoofast.data.store import Store
from zoofast.learner import train
from zoofast.members import load_model
from zoofast.plan import as_plan
from zoofast.science.embed import embed
from zoofast.science.novelty import BY_PLACE, BY_SCORES, fit_novelty
from zoofast.science.unseen import _over_classes, _above, auroc, hide_classes

LOGITS = dict(softmax=lambda m: ood.MaxSoftmax(None), logit=lambda m: ood.MaxLogit(None), energy=lambda m: ood.EnergyBased(None), entropy=lambda m: ood.Entropy(None), GEN=lambda m: ood.GEN(None))
PLACES = dict(mahalanobis=lambda m: ood.Mahalanobis(None), relative=lambda m: ood.RMD(None), knn=lambda m: ood.KNN(None, k=10), knn50=lambda m: ood.KNN(None, k=50),
              ViM=lambda m: ood.ViM(None, m[0].shape[1]//2, *m))

def net(spec, store, left, seed, out):
    part = hide_classes(store, left, seed)
    if not Path(out).exists(): train(spec, part, out, show=False)
    return load_model(out),part

def theirs(make, fit, x, logits, head, scores):
    "Scores of a detector of pytorch-ood; None where it cannot be used so"
    d,t = make(head),lambda a: torch.tensor(np.asarray(a), dtype=torch.float32)
    if scores: return [d.predict_logits(t(o)).numpy().astype(float) for o in logits]
    d.fit_features(t(fit.x), torch.tensor(fit.preds.targs))
    return [d.predict_features(t(o)).numpy().astype(float) for o in x]

def last_layer(model):
    "Weight and bias of the last linear layer"
    l = [o for o in model.model.modules() if isinstance(o, torch.nn.Linear)][-1]
    return l.weight.detach(),l.bias.detach()

def compare(model, store, part, seed):
    lab = np.array([*store.vocab, ''], dtype=object)[store.label]
    new = np.flatnonzero(np.isin(lab, part.left))
    rows = {o:np.setdiff1d(store.rows(o, labelled=True), new) for o in ('train','valid','test')}
    e = {k:embed(model, store, i, progress=False) for k,i in (rows|dict(new=new)).items()}
    e['train'] = e['train'][np.flatnonzero(e['train'].preds.targs>=0)]
    x,z,head,res = [e[o].x for o in ('test','new')],[e[o].preds.logits for o in ('test','new')],last_layer(model),[]
    def row(by, kind, s, **kw):
        m,lo,hi = _over_classes(_above(*s), lab[new])
        res.append(dict(draw=seed, by=by, kind=kind, auroc=auroc(*s), by_class=m, lo=lo, hi=hi, **kw))
    ours = {k:fit_novelty(e['valid'], k, train=e['train']) for k in BY_SCORES+BY_PLACE}
    own = {k:[n.score(e[o]) for o in ('test','new')] for k,n in ours.items()}
    for k,s in own.items(): row('zoofast', k, s)
    for k,make in (LOGITS|PLACES).items():
        try: s = theirs(make, e['train'], x, z, head, k in LOGITS)
        except Exception as ex: print(f'{k}: {type(ex).__name__} {ex}', flush=True); continue
        same = own.get(k)
        row('pytorch-ood', k, s, rank=float(spearmanr(np.concatenate(s), np.concatenate(same))[0]) if same else None)
    return pd.DataFrame(res)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('store'), p.add_argument('--plan', default=Path(__file__).with_name('inria.yaml')), p.add_argument('--left', type=int, default=10)
    p.add_argument('--draws', type=int, default=3), p.add_argument('--out', default='outputs/novelty'), p.add_argument('--json', default='ood.json')
    a = p.parse_args()
    plan,store = as_plan(a.plan),Store(a.store)
    spec,ts = plan.arms[plan.baseline],[]
    for s in range(a.draws):
        ts.append(compare(*net(spec.with_(seed=s), store, a.left, s, Path(a.out)/f'draw-{s}')[:1], store, hide_classes(store, a.left, s), s))
        t = pd.concat(ts, ignore_index=True)
        m = t.groupby(['by','kind'], sort=False)[['auroc','by_class','rank']].mean()
        print(m.round(4).to_string(), flush=True)
        write_json(dict(versions=versions()|{'pytorch-ood':importlib.metadata.version('pytorch-ood')}, draws=s+1, left=a.left, mean=m.round(5).reset_index().to_dict('records'), rows=t.round(5).to_dict('records')), a.json)

if __name__=='__main__': main()
