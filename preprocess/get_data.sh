#!/usr/bin/env bash
# The public sets of the study: fetched from their official addresses, or taken from files fetched by hand.
set -euo pipefail

usage() {
  cat <<'H'
usage: preprocess/get_data.sh OUT [--sets "NAME ..."] [--langs "en fr ru zh"] [--from-dir DIR] [--list]

Fetches into OUT, resumes broken downloads, and skips what is there and right. A second run checks every file again.

  wiki      Wikipedia dumps (20 GB for English)                OUT/wiki/<lang>wiki-latest-pages-articles.xml.bz2
  cc100     CC-100 web text (82 GB for English; xz)            OUT/cc100/<lang>.txt.xz
  nli       MultiNLI, XNLI, XNLI's translations of MultiNLI, XNLI 15-way                OUT/nli/
  wikiann   WikiAnn, splits of Rahimi et al.                   OUT/wikiann/
  ud        Universal Dependencies 2.3, all treebanks          OUT/ud/
  muse      MUSE dictionaries with English, train and test     OUT/muse/
  tatoeba   Tatoeba pairs with English, of LASER               OUT/tatoeba/
  panlex    PanLex Lite (several GB unpacked)                  OUT/panlex/db.sqlite
  fasttext  fastText vectors of Wikipedia (.vec)               OUT/fasttext/

--sets       which of them (default: all but cc100 and fasttext)
--langs      language codes (default: en fr ru zh)
--from-dir   take files of the same names from DIR instead of the net. A DIR that holds the small sets of the pocket
             scale (bible/, wiki_text/, ... and manifest.tsv) is laid out for use right away: see lay_out_pocket.py
--list       print address, SHA-256 and path of each file, and fetch nothing

SHA-256: checked where the publisher's file is fixed and its hash is known for certain; otherwise it is recorded in
OUT/SHA256SUMS at the first download and checked from then on (Wikipedia's "latest" changes twice a month).

Licensed sets, to be fetched by hand:
  CoNLL 2003 (English NER): annotations at https://www.clips.uantwerpen.be/conll2003/ner/, text from NIST's Reuters
    RCV1; build eng.train, eng.testa, eng.testb, then
      python preprocess/convert_ner.py eng.train OUT/ner/en.train.tsv        (testa: dev, testb: test)
  Chinese NER (SIGHAN 2006 MSRA; a character and its tag a line):
      python preprocess/convert_ner.py msra_train.txt OUT/ner/zh.train.tsv --words

examples:
  preprocess/get_data.sh raw --sets "wiki panlex muse" --langs "en fr"
  preprocess/get_data.sh runs/pocket/data --from-dir ../shared/data
H
}

die() { echo "get_data.sh: $*" >&2; exit 2; }

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PYTHON:-$HERE/../.venv/bin/python}
OUT='' FROM='' LIST='' SETS='wiki nli wikiann ud muse tatoeba panlex' LANGS='en fr ru zh'
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --list) LIST=1; shift ;;
    --sets | --langs | --from-dir)
      [ $# -gt 1 ] || die "$1 needs a value"
      case $1 in --sets) SETS=$2 ;; --langs) LANGS=$2 ;; --from-dir) FROM=$2 ;; esac
      shift 2 ;;
    -*) die "unknown option $1; -h shows the options" ;;
    *) [ -z "$OUT" ] || die "one word too many: $1"; OUT=$1; shift ;;
  esac
done
[ -n "$OUT" ] || { usage >&2; exit 2; }
[ -z "$FROM" ] || [ -d "$FROM" ] || die "$FROM: no such folder"

if [ -n "$FROM" ] && [ -f "$FROM/manifest.tsv" ] && [ -d "$FROM/wiki_text" ]; then
  exec "$PYTHON" "$HERE/lay_out_pocket.py" "$FROM" "$OUT"
fi

# ISO 639-3 codes of Tatoeba's file names, and CC-100's names, where they differ.
declare -A ISO3=([en]=eng [fr]=fra [ru]=rus [zh]=cmn [de]=deu [es]=spa [it]=ita [pt]=por [ar]=ara [ja]=jpn)
declare -A CC=([zh]=zh-Hans)
FB=https://dl.fbaipublicfiles.com

# One line a file: path under OUT, SHA-256 (or - where unknown), address.
addresses() {
  local set lang code
  for set in $SETS; do
    case $set in
      wiki)
        for lang in $LANGS; do
          code=${lang}wiki-latest-pages-articles.xml.bz2
          echo "wiki/$code - https://dumps.wikimedia.org/${lang}wiki/latest/$code"
        done ;;
      cc100)
        for lang in $LANGS; do echo "cc100/$lang.txt.xz - https://data.statmt.org/cc-100/${CC[$lang]:-$lang}.txt.xz"; done ;;
      nli)
        echo "nli/multinli_1.0.zip 049f507b9e36b1fcb756cfd5aeb3b7a0cfcb84bf023793652987f7e7e0957822 https://cims.nyu.edu/~sbowman/multinli/multinli_1.0.zip"
        echo "nli/XNLI-1.0.zip 4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1 $FB/XNLI/XNLI-1.0.zip"
        echo "nli/XNLI-MT-1.0.zip - $FB/XNLI/XNLI-MT-1.0.zip"
        echo "nli/XNLI-15way.zip - $FB/XNLI/XNLI-15way.zip" ;;
      wikiann)
        echo "wikiann/panx_dataset.zip - https://s3.amazonaws.com/datasets.huggingface.co/wikiann/1.1.0/panx_dataset.zip" ;;
      ud)
        echo "ud/ud-treebanks-v2.3.tgz - https://lindat.mff.cuni.cz/repository/xmlui/bitstream/handle/11234/1-2895/ud-treebanks-v2.3.tgz" ;;
      muse)
        for lang in $LANGS; do
          [ "$lang" != en ] || continue
          for code in "en-$lang" "$lang-en"; do
            for part in 0-5000 5000-6500; do
              echo "muse/$code.$part.txt - $FB/arrival/dictionaries/$code.$part.txt"
            done
          done
        done ;;
      tatoeba)
        for lang in $LANGS; do
          [ "$lang" != en ] || continue
          code=${ISO3[$lang]:-}
          [ -n "$code" ] || die "no ISO 639-3 code known for $lang; add it to ISO3 in get_data.sh"
          for part in "$code" eng; do
            echo "tatoeba/tatoeba.$code-eng.$part - https://github.com/facebookresearch/LASER/raw/main/data/tatoeba/v1/tatoeba.$code-eng.$part"
          done
        done ;;
      panlex) echo "panlex/panlex_lite.zip - https://db.panlex.org/panlex_lite.zip" ;;
      fasttext)
        for lang in $LANGS; do echo "fasttext/wiki.$lang.vec - $FB/fasttext/vectors-wiki/wiki.$lang.vec"; done ;;
      *) die "no set '$set'; there are wiki cc100 nli wikiann ud muse tatoeba panlex fasttext" ;;
    esac
  done
}

# get PATH SHA256 ADDRESS: fetches or takes one file and checks it; it lies under PATH.part until it is whole.
get() {
  local path=$OUT/$1 known=$2 address=$3 recorded found
  recorded=$(awk -v name="$1" '$2 == name { print $1 }' "$OUT/SHA256SUMS")
  if [ "$known" = - ] && [ -f "$path" ]; then known=${recorded:--}; fi
  if [ ! -f "$path" ]; then
    mkdir -p "$(dirname "$path")"
    if [ -n "$FROM" ]; then
      local hand
      hand=$(find -L "$FROM" -type f -name "$(basename "$path")" -print -quit)
      [ -n "$hand" ] || { echo "absent: $(basename "$path") is not in $FROM; its address is $address" >&2; MISSING=1; return; }
      cp "$hand" "$path.part"
    else
      echo "fetching $address" >&2
      curl --fail --location --retry 5 --retry-delay 5 --continue-at - --output "$path.part" "$address" \
        || { echo "get_data.sh: $address: not fetched; run this again to go on, or fetch it by hand and use --from-dir" >&2; MISSING=1; return; }
    fi
    found=$(sha256sum "$path.part" | cut -d' ' -f1)
    [ "$known" = - ] || [ "$known" = "$found" ] || { rm "$path.part"; die "$1: SHA-256 is $found, expected $known; the broken file is removed"; }
    mv "$path.part" "$path"
  else
    found=$(sha256sum "$path" | cut -d' ' -f1)
    [ "$known" = - ] || [ "$known" = "$found" ] || die "$path: SHA-256 is $found, expected $known; remove it and run this again"
  fi
  if [ "$recorded" != "$found" ]; then
    { awk -v name="$1" '$2 != name' "$OUT/SHA256SUMS"; echo "$found  $1"; } > "$OUT/SHA256SUMS.tmp"
    mv "$OUT/SHA256SUMS.tmp" "$OUT/SHA256SUMS"
  fi
}

LINES=$(addresses)
if [ -n "$LIST" ]; then
  while read -r path hash address; do echo "$address  ${hash/#-/unknown}  $OUT/$path"; done <<< "$LINES"
  exit 0
fi
MISSING=''
mkdir -p "$OUT"
touch "$OUT/SHA256SUMS"
# Jobs of several pairs want the same English dump at once: one fetches, the others wait and find it there.
exec 9> "$OUT/.lock"
if command -v flock > /dev/null && ! flock --nonblock 9; then
  echo "another get_data.sh fetches into $OUT; waiting" >&2
  flock 9 || echo "no locks on this file system; do not fetch into one folder twice at once" >&2
fi
while read -r path hash address; do get "$path" "$hash" "$address"; done <<< "$LINES"
if [ -f "$OUT/panlex/panlex_lite.zip" ] && [ ! -f "$OUT/panlex/db.sqlite" ]; then
  rm -rf "$OUT/panlex/unpacked"
  "$PYTHON" -m zipfile -e "$OUT/panlex/panlex_lite.zip" "$OUT/panlex/unpacked"
  mv "$(find "$OUT/panlex/unpacked" -name db.sqlite -print -quit)" "$OUT/panlex/db.sqlite"
  rm -rf "$OUT/panlex/unpacked"
fi
[ -z "$MISSING" ] || die "some files are missing (above)"
echo "all there, in $OUT; hashes in $OUT/SHA256SUMS"
