"""Models and policies in the styles that Casbin's documentation describes, made up from a seed.

Each function takes a random.Random and returns (model, policy, requests).
"""

ALLOW = "some(where (p.eft == allow))"
DENY = "!some(where (p.eft == deny))"
BOTH = ALLOW + " && " + DENY
PRIORITY = "priority(p.eft) || deny"
SUBJECT_PRIORITY = "subjectPriority(p.eft) || deny"

USERS = ["ann", "ben", "cy", "dot", "eve"]
ROLES = ["reader", "writer", "owner", "boss"]
OBJECTS = ["ledger", "orders", "orders/1", "stock"]
ACTIONS = ["read", "write", "grow"]
DOMAINS = ["north", "south", "east"]
EFFECTS = ["allow", "deny"]


def model(request, policy, effect, matcher, roles=()):
    text = f"[request_definition]\nr = {request}\n\n[policy_definition]\np = {policy}\n\n"
    if roles:
        text += "[role_definition]\n" + "".join(f"{role}\n" for role in roles) + "\n"
    return text + f"[policy_effect]\ne = {effect}\n\n[matchers]\nm = {matcher}\n"


def lines(random, count, *columns, kind="p"):
    """Rules that draw each field from a column."""
    rows = [", ".join([kind] + [random.choice(column) for column in columns]) for _ in range(count)]
    return "\n".join(rows) + "\n"


def requests(random, *columns, count=60):
    return [[random.choice(column) for column in columns] for _ in range(count)]


def acl(random):
    effect = random.choice([ALLOW, DENY, BOTH, PRIORITY])
    between = random.choice([" ", " \\\n", " \\\n# who or what\n\n  ", "\\ ; note\n"])
    return (
        model("sub, obj, act", "sub, obj, act, eft", effect,
              f"r.sub == p.sub &&{between}r.obj == p.obj &&{between}r.act == p.act"),
        lines(random, random.randint(0, 12), USERS, OBJECTS, ACTIONS, EFFECTS),
        requests(random, USERS, OBJECTS, ACTIONS),
    )


def acl_with_superuser(random):
    matcher = "r.sub == p.sub && r.obj == p.obj && r.act == p.act || r.sub == \"boss\""
    return (
        model("sub, obj, act", "sub, obj, act", ALLOW, matcher),
        lines(random, random.randint(0, 8), USERS, OBJECTS, ACTIONS),
        requests(random, USERS + ["boss"], OBJECTS, ACTIONS),
    )


def two_fields(random):
    if random.random() < 0.5:
        fields, columns = "sub, act", (USERS, ACTIONS)
        matcher = "r.sub == p.sub && r.act == p.act"
    else:
        fields, columns = "obj, act", (OBJECTS, ACTIONS)
        matcher = "p.obj == r.obj && p.act == r.act"
    return (model(fields, fields, ALLOW, matcher), lines(random, 5, *columns),
            requests(random, *columns))


def role_links(random, kind="g", members=USERS, roles=ROLES, domains=None):
    columns = [members + roles, roles] + ([domains] if domains else [])
    return lines(random, random.randint(0, 10), *columns, kind=kind)


def rbac(random):
    effect = random.choice([ALLOW, DENY, BOTH, PRIORITY])
    policy = lines(random, random.randint(1, 12), USERS + ROLES, OBJECTS, ACTIONS, EFFECTS)
    return (
        model("sub, obj, act", "sub, obj, act, eft", effect,
              "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", ["g = _, _"]),
        policy + role_links(random),
        requests(random, USERS + ROLES, OBJECTS, ACTIONS),
    )


def deep_roles(random):
    """Around the limit of ten links."""
    length = random.randint(8, 13)
    chain = "".join(f"g, n{i}, n{i + 1}\n" for i in range(length))
    asked = [[f"n{i}", "ledger", "read"] for i in range(length + 1)]
    return (
        model("sub, obj, act", "sub, obj, act", ALLOW,
              "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", ["g = _, _"]),
        f"p, n{length}, ledger, read\n" + chain,
        asked,
    )


def rbac_both_sides(random):
    policy = lines(random, random.randint(1, 10), USERS + ROLES, OBJECTS + ["all"], ACTIONS)
    policy += role_links(random) + role_links(random, "g2", OBJECTS, ["all", "some"])
    return (
        model("sub, obj, act", "sub, obj, act", ALLOW,
              "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act", ["g = _, _", "g2 = _, _"]),
        policy,
        requests(random, USERS + ROLES, OBJECTS, ACTIONS),
    )


def rbac_with_domains(random):
    matcher = random.choice([
        "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
        "r.dom == p.dom && g(r.sub, p.sub, p.dom) && r.obj == p.obj && r.act == p.act",
        "g(r.sub, p.sub, p.dom) && r.obj == p.obj && r.act == p.act",
        "g(r.sub, p.sub, \"north\") && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
    ])
    policy = lines(random, random.randint(1, 10), USERS + ROLES, DOMAINS, OBJECTS, ACTIONS)
    return (
        model("sub, dom, obj, act", "sub, dom, obj, act", ALLOW, matcher, ["g = _, _, _"]),
        policy + role_links(random, domains=DOMAINS),
        requests(random, USERS, DOMAINS + ["west"], OBJECTS, ACTIONS, count=100),
    )


def explicit_priority(random):
    numbers = [str(number) for number in range(1, 12)]
    policy = lines(random, random.randint(1, 14), numbers, USERS + ROLES, OBJECTS, ACTIONS, EFFECTS)
    return (
        model("sub, obj, act", "priority, sub, obj, act, eft", PRIORITY,
              "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", ["g = _, _"]),
        policy + role_links(random),
        requests(random, USERS, OBJECTS, ACTIONS),
    )


def tree(random, domain=""):
    """Each has one role, so a level; somebody without any is one of the roots."""
    names = ["root", "top", "mid", "low", "leaf"] + USERS
    links = [f"g, {name}, {random.choice(names[:i])}{domain}"
             for i, name in enumerate(names) if i > 0]
    random.shuffle(links)
    return names, "\n".join(links) + "\n"


def subject_priority(random):
    names, links = tree(random)
    return (
        model("sub, obj, act", "sub, obj, act, eft", SUBJECT_PRIORITY,
              "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", ["g = _, _"]),
        lines(random, random.randint(1, 14), names, OBJECTS[:2], ACTIONS[:2], EFFECTS) + links,
        requests(random, names, OBJECTS[:2], ACTIONS[:2]),
    )


def subject_priority_with_domain(random):
    names, links = tree(random, ", north")
    return (
        model("sub, obj, dom, act", "sub, obj, dom, act, eft", SUBJECT_PRIORITY,
              "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
              ["g = _, _, _"]),
        lines(random, random.randint(1, 14), names, OBJECTS[:2], ["north"], ACTIONS[:2], EFFECTS)
        + links,
        requests(random, names, OBJECTS[:2], ["north"], ACTIONS[:2]),
    )


def path(random, parts, longest=4):
    chosen = [random.choice(parts) for _ in range(random.randint(1, longest))]
    return "/" + "/".join(chosen) + random.choice(["", "", "", "/"])


def paths(random, function, parts, more=()):
    """Rules whose objects are patterns, requests whose objects are paths."""
    keys = ["a", "b", "ab", "1", "22", "x.y", "a-b", "caf\u00e9"]
    patterns = [path(random, parts) for _ in range(8)] + list(more)
    asked = [path(random, keys, 5) for _ in range(60)]
    return (
        model("sub, obj, act", "sub, obj, act, eft", random.choice([ALLOW, BOTH, PRIORITY]),
              f"r.sub == p.sub && {function}(r.obj, p.obj) && r.act == p.act"),
        lines(random, random.randint(1, 14), USERS[:2], patterns, ACTIONS[:1], EFFECTS),
        requests(random, USERS[:2], asked, ACTIONS[:1], count=150),
    )


def key_match(random):
    return paths(random, "keyMatch", ["a", "b", "ab", "a*", "*", "1"], ["*"])


# Parts of paths are expressions, if not meant to be.
EXPRESSIONS = ["(a|b)", "[ab]+", "x\\.y", "a*", ".*"]


def key_match2(random):
    return paths(random, "keyMatch2", ["a", "b", "ab", "*", ":id", ":name", "x.y", "1"] + EXPRESSIONS, ["*"])


def key_match3(random):
    return paths(random, "keyMatch3", ["a", "b", "ab", "*", "{id}", "{name}", "x.y"] + EXPRESSIONS)


def key_match4(random):
    """No two names are the same and followed by a third: README.md."""
    names = ["{a}", "{b}", "{c}"] if random.random() < 0.5 else ["{a}", "{a}"]
    while True:
        drawn = paths(random, "keyMatch4", ["a", "b", "ab", "1"] + names)
        if all(is_plain4(line) for line in drawn[1].splitlines()):
            return drawn


def is_plain4(line):
    names = [part for part in line.split(", ")[2].split("/") if part.startswith("{")]
    return len(set(names)) == len(names) or len(set(names)) == 1


def key_match5(random):
    made = paths(random, "keyMatch5", ["a", "b", "*", "{id}", "{name}"] + EXPRESSIONS)
    for request in made[2]:
        request[1] += random.choice(["", "?", "?a=b", "?a=/b"])
    return made


def glob_match(random):
    parts = ["a", "b", "a*", "*", "**", "?", "*.y", "a?", "[ab]", "[!a]", "[a-c]b", "??"]
    made = paths(random, "globMatch", parts, ["*", "**"])
    for request in made[2]:
        request[1] = random.choice(["", "", "", "/.h"]) + request[1]
    return made


def any_glob(random):
    """Dots, and what may stand for them."""
    def part(elements, longest):
        return "".join(random.choice(elements) for _ in range(random.randint(1, longest)))

    def pattern():
        made = part([".", ".", "a", "*", "?", "[.]", "[.a]", "[!a]", "[!.]", "[a-b]", "[\u00e9]", "\\.", "\\*", "**"], 4)
        is_refused = "\\" in made and made[0] in "*?" or made in (".", "..")
        return pattern() if is_refused else made

    patterns = ["/".join(pattern() for _ in range(random.randint(1, 3))) for _ in range(8)]
    asked = [random.choice(["", "/"]) + "/".join(part([".", ".", "a", "b", "*", "\u00e9"], 3)
                                                for _ in range(random.randint(1, 3)))
             for _ in range(80)]
    return (
        model("obj", "obj, eft", random.choice([ALLOW, DENY]), "globMatch(r.obj, p.obj)"),
        lines(random, random.randint(1, 3), patterns, EFFECTS),
        requests(random, asked, count=80),
    )


def key_get(random):
    function, pattern = random.choice([
        ("keyGet(r.obj, p.obj) == r.act", ["/a/*", "/b*", "/a", "*"]),
        ("keyGet2(r.obj, p.obj, 'id')", ["/a/:id", "/:id/b", "/:other", "/a"]),
        ("keyGet2(r.obj, p.obj, 'id') == p.sub", ["/a/:id", "/:id/b/*", "/:other/:id"]),
    ])
    return (
        model("sub, obj, act", "sub, obj", ALLOW, function),
        lines(random, 4, ["a", "b", "1"], pattern),
        requests(random, USERS, [path(random, ["a", "b", "1"], 3) for _ in range(30)],
                 ["a", "b", "/b", "1"]),
    )


def regex_match(random):
    patterns = ["^read$", "(read)|(write)", "^(read|grow)$", "r.*d", "[rw]", "^.{4}$", "w", "^x?read",
                "^/a/[^/]+$", "\\\\w+t", "^wr", "^/a/{b|c}/d$", "b{(}wr)*", "re{1}ad"]
    return (
        model("sub, obj, act", "sub, obj, act, eft", random.choice([ALLOW, BOTH]),
              "r.sub == p.sub && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)"),
        lines(random, 8, USERS[:2], ["orders*", "ledger", "*"], patterns, EFFECTS),
        requests(random, USERS[:2], OBJECTS, ACTIONS + ["reading", "/a/b", "/a/b/c", "xc}/d", "b{"]),
    )


CHARACTERS = ["a", "b", "c", "/", "-", "_", "7", "{", "}", "]", " ", "\t", "\v", "\n", "\r", "\u00a0", "\u2028",
              "\u2003", "\ufeff", "\u00e9", "\u20ac"]
ATOMS = ["a", "b", "/", "_", "\u00e9", "{", "}", "{b}", "{,2}", "]", ".", r"\.", r"\{", r"\-", r"\/", r"\d", r"\D",
         r"\w", r"\W", r"\s", r"\S", r"\x61", r"\t", r"\v", "^", "$", r"\b"]
MEMBERS = ["a", "b", "/", "a-c", "{", "[", "^", ".", "$", r"\]", r"\-", r"\s", r"\S", r"\d", r"\W", r"\n",
           r"\x2f", "\u00e9", "\u00e0-\u00ff"]


def expression(random, depth):
    """What JavaScript takes, and we do not refuse."""
    parts = []
    for _ in range(random.randint(1, 4)):
        kind = random.randint(0, 5 if depth > 0 else 4)
        if kind == 5:
            part = random.choice(["(", "(?:"]) + expression(random, depth - 1) + ")"
        elif kind == 4:
            part = random.choice(["[a", "[^a"])
            part += "".join(random.choice(MEMBERS) for _ in range(random.randint(0, 3))) + "]"
        else:
            part = random.choice(ATOMS)
        if part not in ("^", "$", r"\b") and random.random() < 0.3:
            part += random.choice(["*", "+", "?", "{2}", "{0,1}", "{1,}", "*?"])
        parts.append(part)
    if random.random() < 0.2:
        parts.insert(random.randint(0, len(parts)), "|")
    return "".join(parts)


def any_regex(random):
    patterns = [f"\"{random.choice(['', '', '^'])}{expression(random, 2)}{random.choice(['', '$'])}\""
                for _ in range(12)]
    texts = ["".join(random.choice(CHARACTERS) for _ in range(random.randint(0, 6))) for _ in range(60)]
    return (
        model("obj", "obj, eft", random.choice([ALLOW, DENY]), "regexMatch(r.obj, p.obj)"),
        lines(random, random.randint(1, 3), patterns, EFFECTS),
        requests(random, texts, count=60),
    )


def ip_match(random):
    nets = ["10.0.0.0/8", "10.1.0.0/16", "192.168.2.123", "192.168.2.0/24", "192.168.2.64/26",
            "2001:db8::/32", "2001:db8::1", "0.0.0.0/0", "fe80::/10", "::/0", "::ffff:0:0/96", "::/96",
            "::ffff:10.0.0.0/104", "::ffff:0:0/90", "::10.0.0.1", "::ffff:a00:1", "10.0.0.1"]
    hosts = ["10.0.0.1", "10.1.2.3", "192.168.2.123", "192.168.2.100", "192.168.3.1", "2001:db8::1",
             "2001:db8:1::1", "fe80::1", "8.8.8.8", "::1", "::10.0.0.1", "::ffff:10.0.0.1", "1::10.0.0.1",
             "::ffff:c0a8:264", "::", "0.0.0.0"]
    return (
        model("sub, obj, act", "sub, obj, act", ALLOW,
              "ipMatch(r.sub, p.sub) && r.obj == p.obj && r.act == p.act"),
        lines(random, random.randint(1, 6), nets, OBJECTS[:2], ACTIONS[:2]),
        requests(random, hosts, OBJECTS[:2], ACTIONS[:2]),
    )


def rules_in_policy(random):
    rules = ["r.age > 18", "r.age < 60 && r.age >= 20", "r.sub == 'ann'", "r.sub != 'ann' || r.age == 7",
             "\"r.sub in ('ann', 'ben')\"", "keyMatch(r.obj, 'orders*')", "!(r.age > 30)", "r.age * 2 > 50",
             "r.age - 10 < 15 || r.sub == \"\"eve\"\"", "keyMatch(r.sub, 'x, y')", "\"keyMatch(r.sub, 'x, y')\""]
    rules = ["\"" + rule + "\"" if "\"\"" in rule else rule for rule in rules]
    return (
        model("sub, age, obj, act", "rule, obj, act, eft", random.choice([ALLOW, BOTH, PRIORITY]),
              "eval(p.rule) && r.obj == p.obj && r.act == p.act"),
        lines(random, random.randint(1, 10), rules, OBJECTS[:2] + ["f(a, b)"], ACTIONS[:2], EFFECTS),
        requests(random, USERS + ["x,y", "x, y"], ["7", "19", "25", "61", "x", ""],
                 OBJECTS[:2] + ["f(a,b)", "f(a, b)"], ACTIONS[:2]),
    )


FIELDS = ["r.a", "r.b", "r.n", "p.a", "p.b", "p.n"]
OPERANDS = FIELDS + ['"x"']
NUMBERS_AS_TEXTS = ["0xA", "0b1010", "0o12", "-0xA", "0x", "1e999", "-1e999", "1e-999", "5e-324", "\u00a01\u2003",
                    "+1", "1.", ".", "Infinity", "0x20000000000001"]
NUMBERS = ["0", "1", "2.5", "10", "r.n", "p.n"]


def truth(random, depth):
    """An expression that is true or false. Brackets follow no space, but for lists: README.md."""
    kind = random.randint(0, 9 if depth > 0 else 5)
    if kind <= 1:
        return f"{random.choice(FIELDS)} {random.choice(['==', '!='])} {random.choice(OPERANDS)}"
    if kind == 2:
        return f"{random.choice(NUMBERS)} {random.choice(['<', '<=', '>', '>=', '=='])} {number(random)}"
    if kind == 3:
        return f"({random.choice(FIELDS)} in ('x', {random.choice(FIELDS)}, '1'))"
    if kind == 4:
        return f"keyMatch({random.choice(FIELDS)}, {random.choice(FIELDS)})"
    if kind == 5:
        return f"g(r.a, {random.choice(OPERANDS)})"
    if kind == 6:
        return f"!({truth(random, depth - 1)})"
    joiner = random.choice([" && ", " || "])
    parts = [f"({truth(random, depth - 1)})" for _ in range(random.randint(2, 3))]
    return joiner.replace(" ", "").join(parts)


def number(random):
    left, right = random.choice(NUMBERS), random.choice(NUMBERS[:4])
    return random.choice([left, f"{right}+{random.choice(NUMBERS[:4])}", f"{left}*{right}", f"{left}-{right}",
                          f"{left}/{right}", f"-{left}"])


def any_expression(random):
    texts, numbers = ["x", "y", "z", "x*", "1"], ["0", "1", "2.5", "10", "-1", "zz"]
    policy = lines(random, random.randint(1, 8), texts, texts, numbers, EFFECTS)
    policy += lines(random, random.randint(0, 5), texts, texts, kind="g")
    # Something is asked of a rule in any case, and at once.
    matcher = f"(p.eft != 'none')&&({truth(random, 3)})"
    return (
        model("a, b, n", "a, b, n, eft", random.choice([ALLOW, DENY, BOTH, PRIORITY]), matcher,
              ["g = _, _"]),
        policy,
        requests(random, texts, texts, numbers + NUMBERS_AS_TEXTS),
    )


STYLES = [
    acl, acl_with_superuser, two_fields, rbac, deep_roles, rbac_both_sides, rbac_with_domains,
    explicit_priority, subject_priority, subject_priority_with_domain, key_match, key_match2, key_match3,
    key_match4, key_match5, glob_match, any_glob, key_get, regex_match, any_regex, any_regex, any_regex,
    ip_match, rules_in_policy, any_expression, any_expression, any_expression,
]
