"All settings are in settings.ini, the version is in zoofast/__init__.py; edit there, not here."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

root = Path(__file__).parent
def read(name): return (root/name).read_text(encoding='utf-8') if (root/name).exists() else ''
def lines(key): return [o.strip() for o in cfg[key].splitlines() if o.strip()]

ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read_string(read('settings.ini'))
cfg = ini['DEFAULT']
extras = {k.removesuffix('_requirements'):v.split() for k,v in cfg.items() if k.endswith('_requirements')}

setup(name=cfg['lib_name'], version=re.search(r'__version__ = "(.+?)"', read('zoofast/__init__.py'))[1], description=cfg['description'], keywords=cfg['keywords'],
      long_description=read('README.md'), long_description_content_type='text/markdown', url=cfg['url'] or None, author=cfg['author'],
      license='Apache-2.0', license_files=['LICENSE'], classifiers=lines('classifiers'), python_requires=f">={cfg['min_python']}",
      packages=find_packages(include=['zoofast', 'zoofast.*']), package_dir={'': '.'}, # so that an editable install is a path entry: numba's caches survive `pip uninstall` and would shadow an import hook
      package_data={'zoofast.data': ['taxa/*.csv']},
      install_requires=cfg['requirements'].split(), extras_require=extras,
      entry_points=dict(console_scripts=lines('console_scripts')))
