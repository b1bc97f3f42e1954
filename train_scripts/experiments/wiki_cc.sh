# As default, the other language from web text (section 4.1).
CONDITION=wiki_cc
