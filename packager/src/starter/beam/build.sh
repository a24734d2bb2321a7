# Builds the release into release/; a project without dependencies needs no network for it.
set -e
command -v mix >/dev/null || { echo "mix is not there: install Elixir on this box"; exit 1; }
export MIX_ENV=prod LANG=C.UTF-8 HOME="$PWD/.build-home" MIX_HOME="$PWD/.build-home/mix" HEX_HOME="$PWD/.build-home/hex"
mkdir -p "$HOME"
mix release --quiet --overwrite --path release
rm -rf _build .build-home
