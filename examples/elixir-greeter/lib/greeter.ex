defmodule Greeter do
  @moduledoc "Greets once a second, under a supervisor."
  use Application

  @impl true
  def start(_type, _args) do
    children = [%{id: :greeter, start: {Task, :start_link, [&greet/0]}, restart: :permanent}]
    Supervisor.start_link(children, strategy: :one_for_one)
  end

  defp greet do
    IO.puts("greetings from #{System.get_env("SWARM_BOX")}, the BEAM #{System.otp_release()}")
    Process.sleep(1000)
    greet()
  end
end
