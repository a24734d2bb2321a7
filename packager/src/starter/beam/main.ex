defmodule Main do
  @moduledoc "Prints the time once a second. SWARM_STATE is its own writable folder."
  use Application

  @impl true
  def start(_type, _args) do
    env = &System.get_env(&1, "?")
    IO.puts("#{env.("SWARM_WORKFLOW")} #{env.("SWARM_VERSION")} runs on #{env.("SWARM_BOX")}")
    Task.start_link(&tick/0)
  end

  defp tick do
    IO.puts(Time.truncate(Time.utc_now(), :second))
    Process.sleep(1000)
    tick()
  end
end
