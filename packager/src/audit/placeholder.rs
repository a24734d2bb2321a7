//! Placeholders that no box could fill. In: what a file says. Out: findings, each at its place. Pure.

use swarm_manifests::{
    bundle::{Bundle, Probe},
    manifest::Manifest,
    placeholder::{Part, is_known, parts},
    problem::Problem,
    rules::bundle::PLACEHOLDER,
};

/// The problems of these texts of one file.
pub fn problems<'a>(
    file: &str,
    text: &str,
    texts: impl IntoIterator<Item = &'a String>,
) -> Vec<Problem> {
    let unknown = texts
        .into_iter()
        .flat_map(|text| parts(text))
        .filter_map(|part| match part {
            Part::Placeholder(word) if !is_known(word) => Some(format!("{{{word}}}")),
            _ => None,
        });
    unknown
        .map(|word| {
            let message = format!("{word} is no placeholder");
            let problem = match text.find(&word) {
                Some(at) => Problem::at(file, text, at..at + word.len(), &PLACEHOLDER, message),
                None => Problem::whole(file, &PLACEHOLDER, message),
            };
            problem.hint(PLACEHOLDER.meaning)
        })
        .collect()
}

/// Where a bundle may have some.
pub fn of_bundle(bundle: &Bundle) -> Vec<&String> {
    let probes = [
        bundle.ready.as_ref().map(|ready| &ready.probe),
        bundle.health.as_ref().map(|health| &health.probe),
    ];
    let probed = probes.into_iter().flatten().flat_map(|probe| match probe {
        Probe::Http(url) => std::slice::from_ref(url),
        Probe::Exec(words) => words,
        _ => &[],
    });
    let commands = [
        bundle.install.as_ref().map(|install| &install.command),
        bundle.stop.command.as_ref(),
    ];
    std::iter::once(&bundle.entry)
        .chain(&bundle.args)
        .chain(bundle.env.values())
        .chain(commands.into_iter().flatten().flatten())
        .chain(probed)
        .collect()
}

/// Where a manifest may have some.
pub fn of_manifest(manifest: &Manifest) -> Vec<&String> {
    let args = manifest.args.iter().flatten();
    args.chain(manifest.env.values()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_placeholder_is_marked_and_the_others_are_not() {
        let text = "version = \"1.0.0\"\nargs = [\"{box}\", \"{home}/x\", \"{\\\"a\\\": 1}\"]\n";
        let args = ["{box}".to_owned(), "{home}/x".into(), "{\"a\": 1}".into()];
        let found = problems("manifests/a.toml", text, &args);
        let places: Vec<_> = found
            .iter()
            .map(|p| (p.line, p.column, p.rule.id))
            .collect();
        assert_eq!(places, [(2, 19, "S-BUNDLE-14")]);
    }
}
