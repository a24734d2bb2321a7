//! Prints docs/reference/rules.md from the rules themselves.

fn main() {
    println!(
        "# Rules\n\nEvery refusal names one of these; `swarm-agent explain ID` and `swarm-pack explain ID` print the same.\n"
    );
    for rule in swarm_manifests::rules::all() {
        println!(
            "## {}: {}\n\n{}\n\nWhat to do: {}\n",
            rule.id, rule.title, rule.meaning, rule.remedy
        );
    }
}
