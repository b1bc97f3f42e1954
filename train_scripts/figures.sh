#!/usr/bin/env bash
# Figures 4 to 8: monolingual and bilingual models, measures, figures, report.html; see -h. Figure 3: table1.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/alignment.sh" "$@"
