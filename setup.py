"All settings are in settings.ini; edit there, not here."
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

root = Path(__file__).parent
cfg = ConfigParser(delimiters=['='], interpolation=None)
cfg.read(root/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']

setup(name=cfg['lib_name'], version=cfg['version'], python_requires=f">={cfg['min_python']}", packages=find_packages(include=['zoofast', 'zoofast.*']),
      install_requires=cfg['requirements'].split(), extras_require=dict(dev=cfg['dev_requirements'].split()),
      entry_points=dict(console_scripts=[s.strip() for s in cfg['console_scripts'].splitlines() if s.strip()]))
