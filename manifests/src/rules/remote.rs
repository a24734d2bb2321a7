//! Rules for remotes, fetches, webhooks and maps: `S-GIT-…`, `S-HOOK-…`, `S-MAP-…`. Pure.

super::rules! {
    UNREACHABLE = "S-GIT-01", "the remote cannot be reached", "None of the urls answered. What runs keeps running.", "Check url, name resolution, network and the server.";
    URL = "S-GIT-02", "a url that is not taken", "Urls are ssh://, https://, http:// (no credentials over it but on loopback), file:// or an absolute path.", "Correct [repository] url.";
    PROTOCOL = "S-GIT-03", "the server does not speak git protocol version 2 as needed", "The answer was not what git's protocol version 2 says.", "Use git 2.26 or newer on the server; for sshd set AcceptEnv GIT_PROTOCOL.";
    PACK = "S-GIT-04", "the pack is damaged or too large", "What the server sent could not be taken apart within the limits. Nothing changes.", "Run git fsck on the server.";
    HOST_KEY = "S-GIT-05", "the host key of the git server is not the known one", "ssh refused the server's key.", "If the key was changed on purpose, update [repository] known-hosts.";
    TLS = "S-GIT-06", "the server's certificate is not accepted", "TLS refused the certificate: wrong name, expired, or an unknown authority.", "Correct the certificate, or set [repository] ca.";
    AUTH = "S-GIT-07", "the git server wants other credentials", "The server refused the credentials, or wants some.", "Check [repository] credentials-file, or the box's ssh key.";
    REDIRECT = "S-GIT-08", "a redirect that is not followed", "Redirects to another host or to a weaker scheme are not followed.", "Set [repository] url to the final address.";
    OBJECT_FORMAT = "S-GIT-09", "a SHA-256 repository", "Repositories with object format sha256 are not read yet.", "Use a SHA-1 repository.";
    BRANCH = "S-GIT-10", "the server has lost its branch", "The server has the branch, and cannot say at which commit it is. What runs keeps running.", "On the server, remove the broken file of the branch below refs/heads, and push the branch again.";
    HOOK_SIGNATURE = "S-HOOK-01", "a webhook whose signature does not fit", "The signature over the raw body is missing or made with another secret.", "Give the forge the secret of [webhook] secret-file.";
    MAP_TOKEN = "S-MAP-01", "the enrolment token is not accepted", "It is used up, expired, or for another box.", "Make a new one: swarm-map token --box NAME.";
    MAP_KEY = "S-MAP-02", "the map knows this box under another key", "A token never replaces an enrolled key unless made with --replace.", "swarm-map token --box NAME --replace, if the box was set up anew.";
    WITNESS = "S-MAP-03", "the map's witness is not taken", "What the map says of the trunk is not signed by [map] key, or is about another repository. It counts for nothing.", "Compare [map] key with what swarm-map key prints.";
    STALE = "S-MAP-04", "the remote lags behind what the map saw", "The map verified a later position of the trunk than this box's remote has. The box goes on with what it trusts.", "Look at the remote (a mirror that is not updated?), and whether box and map have the same [repository].";
    FORKED = "S-MAP-05", "two different commits at one position of the trunk", "Map and box verified different commits at the same position: the trunk was forked, and somebody with the right to sign did it, or somebody has their key. Nothing changes by itself.", "Find out who signed both commits; push the history that is right to every remote, and take the key of the other out of use.";
    REQUEST = "S-REQUEST-01", "a request that is not followed", "A request through the map is not signed by somebody the box's own policy knows, is for another repository or box, or was used before. Nothing is done.", "Ask again: swarm-agent kill NAME --map.";
    REQUEST_RIGHT = "S-REQUEST-02", "a request by somebody without the right", "The person may not operate this workflow on this box.", "Ask somebody with a grant for it, or an admin for one: may = [\"operate\"].";
    REQUEST_TIME = "S-REQUEST-03", "a request out of its time", "A request is good for 24 hours at most, and neither before nor after its time.", "Ask again; compare the clocks of the box and of who asks.";
}
