//! Signatures of webhooks (GitHub, GitLab, Gitea, Bitbucket, generic). Pure.
