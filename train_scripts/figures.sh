#!/usr/bin/env bash
# Figures 4 to 8: monolingual and bilingual models, measures, figures; see -h. Figure 3 comes with table1.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/alignment.sh" "$@"
