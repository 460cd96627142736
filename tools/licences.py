#!/usr/bin/env python3
"""Which packages come with zoofast, under which licence, and who brought them: a page made from what is installed.

    python tools/licences.py            write outputs/licences.md (install the extras first: pip install -e '.[dev]' and all others)
    python tools/licences.py --check    is every package of settings.ini on the page, and none under a licence that would bind zoofast?
"""
import configparser, re, sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

root = Path(__file__).resolve().parent.parent
page = root/'outputs'/'licences.md'
binding = re.compile(r'\b(A?GPL|GNU (Affero )?General Public|SSPL|CC-BY-NC|Non-?Commercial)', re.I)   # would bind what is built upon it; the lesser GPL does not
lesser = re.compile(r'\bLGPL|Lesser General Public|MPL|Mozilla', re.I)
known = {'cuda-toolkit':'none named; an empty package of NVIDIA that only asks for others'}   # packages whose own metadata names no licence

def plain(name): return re.sub(r'[-_.]+', '-', name).lower()

def wanted():
    "{extra, '' for the requirements: [requirement]} of settings.ini"
    ini = configparser.ConfigParser(delimiters=['='], interpolation=None)
    ini.read(root/'settings.ini', encoding='utf-8')
    return {k.removesuffix('requirements').removesuffix('_'):v.split() for k,v in ini['DEFAULT'].items() if k.endswith('requirements')}

def licence(d):
    "What the metadata of a package say: an SPDX expression, else classifiers, else the first line of the licence field"
    m = d.metadata
    if m.get('License-Expression'): return m['License-Expression']
    tags = [o.split(' :: ')[-1] for o in m.get_all('Classifier') or () if o.startswith('License ::') and not o.endswith('OSI Approved')]
    if tags: return ', '.join(dict.fromkeys(tags))
    first = (m.get('License') or '').strip().splitlines()
    return first[0][:60] if first and first[0] not in ('UNKNOWN',) else known.get(plain(m['Name']), '')

def closure(wants):
    "{name: (distribution, who brought it)} of everything the requirements need here"
    from packaging.requirements import Requirement
    res,todo,gone = {},[(Requirement(r), e or 'zoofast') for e,rs in wants.items() for r in rs],[]
    while todo:
        r,by = todo.pop(0)
        if r.marker and not any(r.marker.evaluate(dict(extra=e)) for e in ('', *r.extras)): continue
        n = plain(r.name)
        if n in res: continue
        try: d = distribution(n)
        except PackageNotFoundError: gone.append(f'{n} ({by})'); continue
        res[n] = d,by
        for o in d.requires or ():
            o = Requirement(o)
            if o.marker is None or any(o.marker.evaluate(dict(extra=e)) for e in ('', *r.extras)): todo.append((o, n))
    return res,gone

def rows():
    wants = wanted()
    order = sorted(wants, key=lambda e: (e!='dev', not e))   # an extra says more than dev, always more than an extra
    direct = {plain(re.match(r'[\w.-]+', r)[0]):e or 'always' for e in order for r in wants[e]}
    got,gone = closure(wants)
    return [(n, d.version, licence(d), f'**{direct[n]}**' if n in direct else by) for n,(d,by) in sorted(got.items())],gone

def write():
    table,gone = rows()
    if gone: sys.exit(f"Not installed, so not looked at: {', '.join(gone)}")
    bad = [f'{n}: {l or "no licence named"}' for n,_,l,_ in table if not l or binding.search(l) and not lesser.search(l)]
    text = ['# Licences of what zoofast stands on', '',
        'Made by `python tools/licences.py` from the metadata of the packages as installed on Linux; not legal advice. zoofast itself is Apache-2.0 and contains no code of these. In bold: named by zoofast, and',
        'when it is installed (`always`, or the extra that brings it); otherwise the package that asked for it. torch as PyPI has it for',
        "Linux brings NVIDIA's libraries, under NVIDIA's own terms; torch's builds for CPUs bring none.", '', '| package | version | licence | brought by |', '|---|---|---|---|',
        *(f"| {' | '.join(o.replace('|', ' ') for o in r)} |" for r in table), '',
        f"{len(table)} packages. " + (f"To be looked at by a person: {'; '.join(bad)}." if bad else 'None under a licence that binds what is built upon it (GPL, AGPL, SSPL, non-commercial).'), '']
    page.write_text('\n'.join(text), encoding='utf-8')
    print(f'{len(table)} packages, {len(bad)} to be looked at: {page.relative_to(root)}')

def check():
    "Failures of the stored page"
    lines = {l.split(' | ')[0].removeprefix('| '):l for l in page.read_text(encoding='utf-8').splitlines() if l.startswith('| ')}
    names = {plain(re.match(r'[\w.-]+', r)[0]) for rs in wanted().values() for r in rs}
    return [f'{n} is not in {page.relative_to(root)}: run tools/licences.py' for n in sorted(names-set(lines))] + \
           [f'{n}: {l}' for n,l in lines.items() if (o := l.split(' | ')[2:3]) and binding.search(o[0]) and not lesser.search(o[0])]

if __name__=='__main__':
    if '--check' in sys.argv: bad = check(); print(*bad, sep='\n'); sys.exit(bool(bad))
    write()
