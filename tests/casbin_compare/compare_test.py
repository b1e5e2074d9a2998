#!/usr/bin/env python3
"""Our decisions and node-casbin's, side by side (README.md).

usage: compare_test.py [SEED [ROUNDS]]

Environment: CASBIN_DECIDE, our program; NODE_PATH, the folder in which npm has installed `casbin`. Without
the second the test says so and is skipped (exit 77).
"""

import json
import os
import pathlib
import random
import subprocess
import sys

import known_differences
import styles

SEED = 1
ROUNDS = 25  # Of every style.
SKIPPED = 77

# What the package brings as examples: a model, its policy, and why we refuse it if we do.
NO_ATTRIBUTES = "attributes of requests"
SECOND_SECTIONS = "second definitions"
OWN_FUNCTIONS = "functions that a program adds"
EXAMPLES = [
    ("basic_model", "basic_policy", None),
    ("basic_model", "basic_inverse_policy", None),
    ("basic_with_root_model", "basic_policy", None),
    ("basic_with_root_model", None, None),
    ("basic_without_resources_model", "basic_without_resources_policy", None),
    ("basic_without_users_model", "basic_without_users_policy", None),
    ("basic_keyget2_model", "basic_keyget2_policy", None),
    ("glob_model", "glob_policy", None),
    ("ipmatch_model", "ipmatch_policy", None),
    ("keymatch_model", "keymatch_policy", None),
    ("keymatch2_model", "keymatch2_policy", None),
    ("priority_model", "priority_policy", None),
    ("priority_model", "priority_indeterminate_policy", "an effect that is neither allow nor deny"),
    ("priority_model_explicit", "priority_policy_explicit", None),
    ("priority_model_explicit", "priority_policy_explicit_update", None),
    ("rbac_model", "rbac_policy", None),
    ("rbac_model", "rbac_with_hierarchy_policy", None),
    ("rbac_g2_model", "rbac_g2_policy", None),
    ("rbac_with_deny_model", "rbac_with_deny_policy", None),
    ("rbac_with_not_deny_model", "rbac_with_deny_policy", None),
    ("rbac_with_domains_model", "rbac_with_domains_policy", None),
    ("rbac_with_domains_model", "rbac_with_domains_policy2", None),
    ("rbac_with_domains_model", "rbac_with_hierarchy_with_domains_policy", None),
    ("rbac_with_domain_pattern_model", "rbac_with_domain_pattern_policy", None),
    ("rbac_with_all_pattern_model", "rbac_with_all_pattern_policy", None),
    ("rbac_with_hierarchical_domains_model", "rbac_with_hierarchical_domains_policy", None),
    ("rbac_with_pattern_model", "rbac_with_pattern_policy", None),
    ("rbac_with_resource_roles_model", "rbac_with_resource_roles_policy", None),
    ("subject_priority_model", "subject_priority_policy", None),
    ("subject_priority_model_with_domain", "subject_priority_policy_with_domain", None),
    ("issues/node_casbin_150_model", "issues/node_casbin_150_policy", None),
    ("abac_model", None, NO_ATTRIBUTES),
    ("abac_not_using_policy_model", "abac_rule_effect_policy", NO_ATTRIBUTES),
    ("abac_rule_model", "abac_rule_policy", NO_ATTRIBUTES),
    ("in_operator_model", None, NO_ATTRIBUTES),
    ("keymatch_custom_model", "keymatch2_policy", OWN_FUNCTIONS),
    ("multiple_policy_definitions_model", "multiple_policy_definitions_policy", SECOND_SECTIONS),
    ("rbac_with_multiple_policy_model", "rbac_with_multiple_policy_policy", SECOND_SECTIONS),
]
# Values that the examples' policies do not name, but their patterns mean.
MEANT = ["/alice_data/1", "/foo/bar", "/foo", "/x/foo/y", "/book/1", "192.168.2.5", "10.0.1.2", "GET",
         "POST", "root", "nobody", "cathy", "/data/7", "/alice_data2/1/using/2"]


def requests_of_example(draw, model, policy):
    """All sorts of the words in a policy, as many in a request as the model says."""
    line = next(line for line in model.splitlines() if line.strip().startswith("r "))
    fields = len(line.split("=")[1].split(","))
    words = [[] for _ in range(6)]
    for row in policy.splitlines():
        for at, word in enumerate(row.split(",")[1:]):
            words[at].append(word.strip())
    everything = sorted({word for column in words for word in column} | set(MEANT))
    is_address = "ipMatch" in model
    found = []
    for _ in range(300):
        request = [draw.choice(words[at] or everything) if draw.random() < 0.7
                   else draw.choice(everything) for at in range(fields)]
        if is_address:
            request[0] = draw.choice(["192.168.2.5", "10.0.1.2", "10.1.0.1", "192.168.3.1"])
        found.append(request)
    return found


def example_cases(draw, folder):
    for model_name, policy_name, refused in EXAMPLES:
        model = (folder / f"{model_name}.conf").read_text()
        policy = (folder / f"{policy_name}.csv").read_text() if policy_name else ""
        yield {
            "name": f"example {model_name} {policy_name}", "model": model, "policy": policy,
            "requests": requests_of_example(draw, model, policy), "refused": refused,
        }


def generated_cases(draw, rounds):
    for style in styles.STYLES:
        for number in range(rounds):
            model, policy, requests = style(draw)
            yield {"name": f"{style.__name__} {number}", "model": model, "policy": policy,
                   "requests": requests, "refused": None}


def run(command, cases):
    text = "".join(json.dumps({key: case[key] for key in ("model", "policy", "requests")}) + "\n"
                   for case in cases)
    done = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def differences(case, ours, theirs):
    """What is said about the same requests in two ways, one line each."""
    if case["refused"]:
        if "error" not in ours:
            yield f"accepted, although of {case['refused']}"
        return
    if "error" in ours or "error" in theirs:
        if "error" not in ours or "error" not in theirs:
            yield f"ours: {ours.get('error')}; theirs: {theirs.get('error')}"
        return
    for request, our, their in zip(case["requests"], ours["decisions"], theirs["decisions"]):
        if their is not None and our != their:
            yield f"{request}: ours {our}, theirs {their}"


def check_known_differences(script):
    """The names of those that are not as the list says."""
    cases = [{"model": model, "policy": policy, "requests": [request]}
             for _, model, policy, request, _, _ in known_differences.CASES]
    answers = zip(known_differences.CASES, run([os.environ["CASBIN_DECIDE"]], cases),
                  run(["node", script], cases))
    wrong = []
    for (name, _, _, _, our, their), ours, theirs in answers:
        found = [known_differences.REFUSED if "error" in answer else answer["decisions"][0]
                 for answer in (ours, theirs)]
        if found != [our, their]:
            wrong.append(f"{name}: ours is {found[0]}, theirs is {found[1]}; the list has {our} and {their}")
    return wrong


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else SEED
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    modules = os.environ.get("NODE_PATH", "")
    package = pathlib.Path(modules) / "casbin"
    if not modules or not package.is_dir():
        print("skipped: no npm package casbin in NODE_PATH")
        return SKIPPED
    print(f"seed {seed}")
    draw = random.Random(seed)
    cases = list(example_cases(draw, package / "examples")) + list(generated_cases(draw, rounds))
    ours = run([os.environ["CASBIN_DECIDE"]], cases)
    script = str(pathlib.Path(__file__).resolve().parent / "node_casbin_decide.js")
    theirs = run(["node", script], cases)
    assert len(ours) == len(theirs) == len(cases)
    compared = thrown = different = 0
    for case, our, their in zip(cases, ours, theirs):
        found = list(differences(case, our, their))
        if "decisions" in our and "decisions" in their:
            compared += len(case["requests"])
            thrown += their["decisions"].count(None)
        different += bool(found)
        if found and different <= 10:
            print(f"--- {case['name']}\n{case['model']}{case['policy']}")
            print("\n".join(found[:10]))
    wrong = check_known_differences(script)
    print("\n".join(f"known difference, {line}" for line in wrong), end="\n" if wrong else "")
    print(f"{len(cases)} models, {compared} requests, {thrown} of which node-casbin threw at; "
          f"{different} models with differences")
    return 1 if different or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
