defmodule Main.MixProject do
  use Mix.Project

  def project do
    [app: :@APP@, version: "0.1.0", elixir: "~> 1.12", deps: []]
  end

  def application do
    [mod: {Main, []}, extra_applications: [:logger]]
  end
end
