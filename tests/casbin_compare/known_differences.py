"""Where node-casbin (5.51) and we differ on purpose: each with a case that shows it.

compare_test.py runs all of them, so that the list stays true. A decision is None when the engine throws
instead of deciding; REFUSED stands for a model or a policy that does not load.
"""

import styles

REFUSED = "refused"

RBAC = "g(r.sub, p.sub) && r.obj == p.obj"


def model(matcher, effect=styles.ALLOW, policy="sub, obj, act", request="sub, obj, act", roles=()):
    return styles.model(request, policy, effect, matcher, roles)


REGEX = model("regexMatch(r.sub, p.sub)")
SMILE, GRIN = "\U0001f600", "\U0001f601"

# Name, model, policy, request, our answer, theirs.
CASES = [
    # --- Bugs over there.
    # `in` was added as the weakest operator: a || (b in c) is read as (a || b) in c.
    ("in is weaker than or", model("r.sub == p.sub || r.act in ('read', 'write')"),
     "p, ann, x, y", ["ann", "x", "grow"], True, False),
    ("in is weaker than and", model("r.act in ('read', 'write') && r.sub == p.sub"),
     "p, ann, x, y", ["ann", "x", "read"], True, None),
    # Lists are found by their comma.
    ("a list of one", model("(r.act in ('read'))"), "", ["ann", "x", "read"], True, None),
    # Any brackets behind a space become a list if there is a comma in them.
    ("brackets beside a list", model("(r.act in ('read', 'write')) && (keyMatch(r.obj, p.obj))"),
     "p, ann, x*, y", ["ann", "xy", "read"], True, None),
    # Names that repeat are compared with the first of all names.
    ("keyMatch4 with a name between", model("keyMatch4(r.obj, p.obj)"),
     "p, ann, /{x}/{y}/{x}, y", ["ann", "/1/2/1", "read"], True, False),
    # A rule's fields are taken for empty ones when there is no rule.
    ("an empty name and no rules", model("r.sub == p.sub"), "", ["", "x", "read"], False, True),
    ("something else than no rule", model("r.sub != p.sub"), "", ["ann", "x", "read"], False, True),
    # A part of a path that is not there is no text, and equal to none.
    ("no part of that name", model("keyGet2(r.obj, p.obj, 'id') != ''"), "p, ann, /*/*/*/:id, y",
     ["ann", "//a/id/id", "y"], False, True),
    # A comment ends the line also within quotes.
    ("a mark of comments in a text", model("r.sub == \"a#b\" || r.sub == p.sub"),
     "p, ann, x, y", ["ann", "x", "y"], True, None),
    # Names in single quotes are taken for fields.
    ("a field's name in a text", model("r.sub == 'of r.sub'"), "", ["of r.sub", "x", "y"], True, False),
    # Two quotes become one, also within quotes, where they were one already.
    ("quotes within quotes", model("r.sub == p.sub"), "p, \"a\"\"\"\"b\", x, y", ["a\"\"b", "x", "y"],
     True, False),
    # Brackets count also within quotes.
    ("a bracket within quotes", model("r.sub == p.sub"), "p, \"(\", x, y", ["(", "x", "y"], True, REFUSED),
    # eval() is found as text, with nothing but the field's name in its brackets.
    ("space in eval", model("eval( p.sub )"), "p, r.obj == 'x', x, y", ["ann", "x", "y"], True, None),
    # Member, role and domain of a role line are looked for where the policy definition has sub, obj and dom.
    ("the domain of a subject's priority",
     model("g(r.sub, p.sub, r.dom) && r.dom == p.dom", styles.SUBJECT_PRIORITY, "sub, dom, obj, act, eft",
           "sub, dom, obj, act", ["g = _, _, _"]),
     "p, admin, north, x, y, deny\np, ann, north, x, y, allow\ng, ann, admin, north",
     ["ann", "north", "x", "y"], REFUSED, False),
    ("the role of a subject's priority",
     model("g(r.sub, p.sub)", styles.SUBJECT_PRIORITY, "sub, act, obj, eft", roles=["g = _, _"]),
     "p, admin, x, y, deny\np, ann, x, y, allow\ng, ann, admin", ["ann", "x", "y"], REFUSED, False),
    # Round brackets of a line are counted, also those in quotes.
    ("one round bracket in a line", REGEX, "p, \"[a(]\", x, y", ["(", "x", "y"], True, REFUSED),
    # Brackets of two quoted fields make one field of the two, and of what stands between them.
    ("brackets of two fields", model("r.sub == p.sub && p.obj == '(a'"), "p, ann, \"(a\", \"b)\"", ["ann", "x", "y"],
     True, False),
    # Effects are known by their text.
    ("an effect with less white space", model("r.sub == p.sub", "some(where(p.eft == allow))"), "p, ann, x, y",
     ["ann", "x", "y"], True, None),
    # It looks for operators in texts, too.
    ("a single operator in a text", model("r.sub == p.sub && r.obj == 'a&b'"), "p, ann, x, y", ["ann", "a&b", "y"],
     True, REFUSED),
    ("the other single operator in a text", model("r.sub == p.sub && r.obj == 'a|b'"), "p, ann, x, y",
     ["ann", "a|b", "y"], True, REFUSED),
    # A rule is put into the matcher by replacing, for which a dollar means something.
    ("two dollars in a rule", model("r.sub == p.sub && eval(p.obj)"), "p, ann, r.obj == '$$', y", ["ann", "$$", "y"],
     True, False),
    ("a dollar before a quote in a rule", model("r.sub == p.sub && eval(p.obj)"), "p, ann, r.obj == '$', y",
     ["ann", "$", "y"], True, None),
    # Two colons do not stand for one group there.
    ("ipMatch of seven groups behind two colons", model("ipMatch(r.sub, p.sub)"), "p, ::1:2:3:4:5:6:7, x, y",
     ["0:1:2:3:4:5:6:7", "x", "y"], True, False),
    # A matcher that comes to the number 3 denies: it is the number of that effect.
    ("a number as a matcher", model("p.sub == 'x' || 3"), "p, ann, x, y", ["ann", "x", "y"], REFUSED, False),

    # --- Slips of the pen that it passes over, and we refuse.
    ("an effect that is none", model("r.sub == p.sub", styles.BOTH, "sub, obj, act, eft"),
     "p, ann, x, y, allow\np, ann, x, y, dney", ["ann", "x", "y"], REFUSED, True),
    ("a field too many", model("r.sub == p.sub"), "p, ann, x, y, deny", ["ann", "x", "y"], REFUSED, True),
    ("a field too few", model("r.sub == p.sub"), "p, ann, x", ["ann", "x", "y"], REFUSED, True),
    ("an empty field", model("r.sub == p.sub"), "p, ann, , y", ["ann", "x", "y"], REFUSED, True),
    ("a kind of line that is none", model("r.sub == p.sub"), "p, ann, x, y\nd, ann, x, y",
     ["ann", "x", "y"], REFUSED, True),
    ("a section that is none", model("r.sub == p.sub") + "[limits]\nl = 1\n", "p, ann, x, y",
     ["ann", "x", "y"], REFUSED, True),
    ("a role definition behind a gap", model("r.sub == p.sub || g3(r.sub, p.sub)", roles=["g = _, _", "g3 = _, _"]),
     "p, ann, x, y\ng3, ben, ann", ["ann", "x", "y"], REFUSED, True),
    ("the line of a role definition behind a gap",
     model("!g2(r.sub, 'outlaws') && r.sub == p.sub", roles=["g2 = _, _"]),
     "p, ann, x, y\ng2, ann, outlaws", ["ann", "x", "y"], REFUSED, True),
    ("a field that is none", model("r.sub == p.sub || r.subject == p.subject"), "p, ann, x, y",
     ["ben", "x", "y"], REFUSED, True),
    ("rules that the matcher does not read",
     model("g(r.sub, 'admins')", styles.BOTH, "sub, obj, act, eft", roles=["g = _, _"]),
     "p, ann, x, y, deny\ng, ann, admins", ["ann", "x", "y"], REFUSED, True),
    ("a priority that is no number",
     model("r.sub == p.sub", styles.PRIORITY, "priority, sub, obj, act, eft"),
     "p, high, ann, x, y, allow", ["ann", "x", "y"], REFUSED, True),

    # Doubles, of which the two are the same one; then the first line comes first.
    ("priorities that are too large", model("r.sub == p.sub", styles.PRIORITY, "priority, sub, obj, act, eft"),
     "p, 9007199254740993, ann, x, y, allow\np, 9007199254740992, ann, x, y, deny", ["ann", "x", "y"],
     REFUSED, True),
    # Each request throws.
    ("a blank before a field's dot", model("r .sub == p.sub"), "p, ann, x, y", ["ann", "x", "y"], REFUSED, None),
    ("a blank behind a field's dot", model("r. sub == p.sub"), "p, ann, x, y", ["ann", "x", "y"], REFUSED, None),
    ("a text that goes on in the next line", model("r.obj == \"a\\\nb\" && r.sub == p.sub"), "p, ann, x, y",
     ["ann", "ab", "y"], REFUSED, True),

    # It takes off what one cannot see, and not everybody calls white space.
    ("a blank that does not break", model("r.sub == p.sub"), "p, \u00a0ann, x, y", ["ann", "x", "y"], REFUSED,
     True),
    ("a control character", model("r.sub == p.sub"), "p, ann\x0b, x, y", ["ann", "x", "y"], REFUSED, True),
    # Also within quotes.
    ("space within quotes", model("r.sub == p.sub"), "p, \" ann \", x, y", [" ann ", "x", "y"], REFUSED,
     False),
    ("space within quotes, of a rule that denies",
     model("r.sub == p.sub", "!some(where (p.eft == deny))", "sub, obj, act, eft"),
     "p, \" ann\", x, y, deny", ["ann", "x", "y"], REFUSED, False),
    # A line ends with a line feed there, but within one, its reader of fields stops at a carriage return.
    ("a carriage return within a line", model("r.sub == p.sub"), "p, ann, x, y\rp, ben, x, y",
     ["ann", "x", "y"], REFUSED, True),
    ("a carriage return within a comment", model("r.sub == p.sub"), "# rules\rp, ann, x, y",
     ["ann", "x", "y"], REFUSED, False),
    # --- Expressions that are no expressions there (each request throws), or say something else in RE2: not
    # what their writer meant, in one of the two.
    ("keyMatch2 of a star and more", model("keyMatch2(r.obj, p.obj)"),
     "p, ann, *bar, y", ["ann", "/secret/bar", "y"], REFUSED, None),
    ("keyMatch2 of two stars", model("keyMatch2(r.obj, p.obj)"),
     "p, ann, /a/**, y", ["ann", "/a/b", "y"], REFUSED, None),
    # It counts groups as names.
    ("keyMatch4 with a group", model("keyMatch4(r.obj, p.obj)"),
     "p, ann, /(a|b)/{id}, y", ["ann", "/a/7", "y"], REFUSED, None),
    # Only keyMatch2 knows the star alone.
    ("keyMatch3 of a star", model("keyMatch3(r.obj, p.obj)"),
     "p, ann, *, y", ["ann", "/1", "read"], REFUSED, None),
    ("flags", REGEX, "p, (?i)a, x, y", ["A", "x", "y"], REFUSED, None),
    ("looking ahead", REGEX, "p, (?=a), x, y", ["a", "x", "y"], REFUSED, True),
    ("the end in Perl", REGEX, "p, ^a\\z, x, y", ["az", "x", "y"], REFUSED, True),
    ("a quote in Perl", REGEX, "p, ^\\Qa, x, y", ["Qa", "x", "y"], REFUSED, True),
    ("a script of Unicode", REGEX, "p, ^\\pL, x, y", ["pL", "x", "y"], REFUSED, True),
    ("references back", REGEX, "p, \"(a)\\1\", x, y", ["aa", "x", "y"], REFUSED, True),
    ("where no word begins or ends", REGEX, "p, \\B, x, y", ["a\u00e9a", "x", "y"], REFUSED, False),
    ("classes by name", REGEX, "p, ^[[:alpha:]]$, x, y", ["a]", "x", "y"], REFUSED, True),
    ("a class that begins with its end", REGEX, "p, []a], x, y", ["a", "x", "y"], REFUSED, False),
    ("a class of all characters", REGEX, "p, [^], x, y", ["a", "x", "y"], REFUSED, True),
    ("from a letter to all digits", REGEX, "p, ^[a-\\d]$, x, y", ["-", "x", "y"], REFUSED, True),
    ("a thousand times and more", REGEX, "p, ^a{1001}$, x, y", ["a" * 1001, "x", "y"], REFUSED, True),
    # After a star or a mark that a part begins with, some backslashes count as characters of the text.
    ("a backslash behind a star", model("globMatch(r.obj, p.obj)"), "p, ann, *\\.y, y", ["ann", "x.y", "y"],
     REFUSED, False),
    ("a backslash behind a star and a set", model("globMatch(r.obj, p.obj)"), "p, ann, *\\.[yz], y",
     ["ann", "x.y", "y"], REFUSED, True),
    # The backslash goes, and the bar stays, as that of an expression.
    ("a backslash before a bar", model("globMatch(r.obj, p.obj)"), "p, ann, [a-z]\\|b, y", ["ann", "c", "y"],
     REFUSED, True),
    # Behind two stars of which each stands for parts, no part is found that begins with a dot.
    ("a dot behind two times two stars", model("globMatch(r.obj, p.obj)"), "p, ann, **/b/**/.a, y",
     ["ann", "b/.a", "y"], REFUSED, False),
    ("a dot in brackets behind two times two stars", model("globMatch(r.obj, p.obj)"),
     "p, ann, **/b/**/[.]a, y", ["ann", "x/b/.a", "y"], REFUSED, False),
    # A character beyond U+FFFF is two for JavaScript, in expressions and in globs.
    ("one of two halves repeated", REGEX, f"p, ^{SMILE}+$, x, y", [SMILE * 2, "x", "y"], REFUSED, False),
    ("one of two halves in a class", REGEX, f"p, [{SMILE}], x, y", [GRIN, "x", "y"], REFUSED, True),
    ("one of two halves in a glob's set", model("globMatch(r.obj, p.obj)"), f"p, ann, [{SMILE}], y",
     ["ann", SMILE, "y"], REFUSED, False),
    ("a dot for a character", REGEX, "p, ^.$, x, y", [SMILE, "x", "y"], True, False),
    ("a dot for half a character", REGEX, "p, ^..$, x, y", [SMILE, "x", "y"], False, True),
    ("all but one for a character", REGEX, "p, ^[^a]$, x, y", [SMILE, "x", "y"], True, False),
    ("a mark for a character", model("globMatch(r.obj, p.obj)"), "p, ann, ?, y", ["ann", SMILE, "y"],
     True, False),

    # --- What we do not do, because it would cost too much or means nothing to us.
    ("a pattern that comes from the request", model("regexMatch(p.sub, r.sub)"), "p, ann, x, y",
     ["a", "x", "y"], REFUSED, True),
    ("braces in a glob", model("globMatch(r.obj, p.obj)"), "p, ann, \"{a,b}\", y", ["ann", "a", "y"],
     REFUSED, True),
    ("a list in square brackets", model("(r.sub in ['ann', 'ben']) && p.act == 'y'"), "p, ann, x, y",
     ["ann", "x", "y"], REFUSED, True),
    ("a text and a number together", model("r.sub + 1 == p.sub"), "p, a1, x, y", ["a", "x", "y"],
     REFUSED, True),
    # Texts are compared byte by byte, JavaScript compares halves of UTF-16.
    ("the order of texts", model("r.sub < p.sub"), "p, \U0001f600, x, y", ["\uff5e", "x", "y"], True,
     False),
    # Zeros in front are octal to some programs.
    ("ipMatch of zeros in front", model("ipMatch(r.sub, p.sub)"), "p, 10.0.0.0/8, x, y",
     ["10.0.0.01", "x", "y"], False, True),
    ("ipMatch of less than an address", model("ipMatch(r.sub, p.sub)"), "p, 1::/16, x, y", ["1:", "x", "y"],
     False, True),
    # Texts that are joined are not known beyond a length, so the rule does not allow.
    ("a long text that is joined", model("r.obj + r.obj == p.obj || r.obj + r.obj != p.obj"), "p, ann, x, y",
     ["ann", "a" * 8193, "y"], False, True),
    # Whether a name is in a network cannot be said: the rule does not allow.
    ("ipMatch of a name", model("ipMatch(r.sub, p.sub)"), "p, 10.0.0.0/8, x, y", ["ann", "x", "y"],
     False, None),
]
