#!/usr/bin/env python3
"""README.md is nbs/index.ipynb without its hidden cells, seen from one folder up.

    python tools/readme.py            write README.md
    python tools/readme.py --check    fail when it differs
"""
import difflib, os, re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import Preprocessor

root = Path(__file__).resolve().parent.parent
note = '<!-- Made from nbs/index.ipynb by tools/readme.py: edit the notebook. -->\n'

class Tidy(Preprocessor):
    "Drop hidden cells and directive lines; keep text outputs only, since pictures live in files"
    def preprocess(self, nb, resources):
        nb.metadata['language_info'] = dict(name='python')   # for the fences; nbdev_clean removes it
        nb.cells = [self.tidy(c) for c in nb.cells if c.source.strip() and not re.match(r'#\|\s*(hide|default_exp)\b', c.source)]
        return nb, resources
    def tidy(self, c):
        dirs = re.match(r'(#\|.*(\n|$))*', c.source)[0]
        c.source = c.source[len(dirs):]
        for o in c.get('outputs', []):
            if any(k.startswith('image/') for k in o.get('data', {})): sys.exit('index.ipynb stores a picture in an output: save it to a file and refer to that.')
            if 'data' in o: o.data = {k:v for k,v in o.data.items() if k in ('text/markdown', 'text/plain')}
        if 'hide_output' in dirs: c.outputs = []
        return c

def from_root(text):
    "Relative links of a text in nbs/, as seen from the root"
    def fix(m): return m[1] + (m[2] if re.match(r'[a-z]+:|#|/', m[2]) else os.path.normpath(os.path.join('nbs', m[2])).replace(os.sep, '/')) + m[3]
    return re.sub(r'(<(?:img|a)\b[^>]*?(?:src|href)=")([^"]+)(")', fix, re.sub(r'(\]\()([^)\s]+)(\)|\s+")', fix, text))

def render():
    nb = nbformat.read(root/'nbs'/'index.ipynb', as_version=4)
    text,_ = MarkdownExporter(preprocessors=[Tidy]).from_notebook_node(nb)
    return note + from_root(re.sub(r'\n{3,}', '\n\n', '\n'.join(l.rstrip() for l in text.strip().splitlines())) + '\n')

if __name__=='__main__':
    new,f = render(),root/'README.md'
    old = f.read_text(encoding='utf-8') if f.exists() else ''
    if '--check' not in sys.argv: f.write_text(new, encoding='utf-8')
    elif old!=new:
        print(*list(difflib.unified_diff(old.splitlines(), new.splitlines(), 'README.md', 'nbs/index.ipynb', lineterm='', n=1))[:30], sep='\n')
        sys.exit('README.md is out of step with nbs/index.ipynb: run python tools/readme.py')
