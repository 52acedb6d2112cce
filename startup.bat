@echo off
rem Start Sightline in containers, with what this machine has: startup.bat --help
setlocal EnableExtensions DisableDelayedExpansion
cd /d "%~dp0"
set "device=auto"
set "https=no"
set "open=yes"
set "stop=no"
set "limit=600"

:options
if "%~1"=="" goto checks
if /i "%~1"=="--cpu" goto want_cpu
if /i "%~1"=="--gpu" goto want_gpu
if /i "%~1"=="--https" goto want_https
if /i "%~1"=="--no-open" goto want_no_open
if /i "%~1"=="--stop" goto want_stop
if /i "%~1"=="--help" goto help
echo There is no option %1. 1>&2
call :usage 1>&2
exit /b 2
:want_cpu
set "device=cpu"
goto next_option
:want_gpu
set "device=gpu"
goto next_option
:want_https
set "https=yes"
goto next_option
:want_no_open
set "open=no"
goto next_option
:want_stop
set "stop=yes"
:next_option
shift
goto options

:checks
where docker >nul 2>&1
if errorlevel 1 goto no_docker
docker version >nul 2>&1
if errorlevel 1 goto no_engine
set "engine="
for /f "delims=" %%v in ('docker version --format "{{.Server.Version}}"') do set "engine=%%v"
for /f "tokens=1 delims=." %%v in ("%engine%") do if %%v LSS 25 goto old_engine
echo ok    docker   engine %engine%
docker compose version >nul 2>&1
if errorlevel 1 goto no_compose
rem Docker Desktop updates compose with itself: what is too old for the file says so when it starts
for /f "delims=" %%v in ('docker compose version --short') do echo ok    compose  version %%v
call :read_settings
if errorlevel 1 goto settings_failed
if "%stop%"=="yes" goto stop

rem What .env names stays; options add to it.
set "files=docker-compose.yml"
if exist docker-compose.override.yml set "files=docker-compose.yml;docker-compose.override.yml"
if defined named set "files=%named:\=/%"
set "unnamed=%files%"
if "%device%"=="cpu" goto on_cpu
if "%device%"=="gpu" goto look_for_gpu
if not defined named goto look_for_gpu
echo ;%files%;| findstr /c:"/gpu.yml;" >nul
if errorlevel 1 goto as_named
set "device=gpu"
:look_for_gpu
set "found=no NVIDIA GPU that answers nvidia-smi"
set "mend=Install NVIDIA's driver if there is a GPU."
nvidia-smi >nul 2>&1
if errorlevel 1 goto no_gpu
set "found=an NVIDIA GPU is here, but Docker can't pass it on to a container"
set "mend=Switch Docker Desktop to its WSL 2 engine and update it."
docker info --format "{{json .}}" 2>nul | findstr /c:"\"nvidia\":" /c:"nvidia.com/gpu" >nul
if errorlevel 1 goto no_gpu
echo ok    device   NVIDIA GPU
set "limit=1500"
echo ;%files%;| findstr /c:"/gpu.yml;" >nul
if errorlevel 1 set "files=%files%;deploy/compose/gpu.yml"
goto start

:no_gpu
if "%device%"=="gpu" goto gpu_failed
echo ok    device   processor (%found%)
goto with_cpu
:as_named
echo ok    device   processor, as COMPOSE_FILE has it (--gpu changes that)
goto start
:on_cpu
echo ok    device   processor, as asked for
:with_cpu
set "files=%files:;deploy/compose/gpu.yml=%"

:start
echo ;%files%;| findstr /c:"/https.yml;" >nul
if not errorlevel 1 set "https=yes"
if "%https%"=="no" goto remember
if not defined domain goto https_failed
if not defined tls goto https_failed
echo ;%files%;| findstr /c:"/https.yml;" >nul
if errorlevel 1 set "files=%files%;deploy/compose/https.yml"
:remember
rem Into .env, where every `docker compose` finds them
if not "%files%"=="%unnamed%" goto write_files
if "%device%"=="cpu" if not defined named goto write_files
goto up
:write_files
type nul >"%work%.env"
if exist .env findstr /v /r /c:"^ *COMPOSE_FILE *=" .env >"%work%.env"
>>"%work%.env" echo COMPOSE_FILE=%files%
copy /y "%work%.env" .env >nul
del "%work%.env"
set "COMPOSE_FILE=%files%"
echo ok    files    COMPOSE_FILE=%files%, now in .env
:up
echo Starting; the first time the images are built, which takes minutes ...
docker compose up --build --detach --wait --wait-timeout %limit%
if errorlevel 1 goto start_failed

call :address frontend 8501
set "page=http://%published%"
call :address backend 8000
set "server=http://%published%  (its API: http://%published%/docs)"
call :address grafana 3000
set "grafana=http://%published%"
if "%https%"=="no" goto say
set "page=https://%domain%"
set "server=https://%domain%/detect"
set "grafana=https://%domain%/grafana"
:say
echo.
echo Sightline runs.
echo   Page     %page%
echo   Server   %server%
echo   Grafana  %grafana%  (user admin; its password: docker compose exec grafana cat /run/grafana/password)
echo   Stop it: startup.bat --stop
if "%open%"=="yes" start "" "%page%"
exit /b 0

:stop
docker compose down --remove-orphans
if errorlevel 1 exit /b 1
echo ok    stopped  models, dashboards and figures are kept; startup.bat brings it back
exit /b 0

rem Asks Compose what .env and this window say: the rules of .env are its own.
:read_settings
set "work=%TEMP%\sightline-%RANDOM%"
>"%work%.yml" echo name: settings
>>"%work%.yml" echo services:
>>"%work%.yml" echo   settings:
>>"%work%.yml" echo     image: none
>>"%work%.yml" echo     environment:
>>"%work%.yml" echo       COMPOSE_FILE: "${COMPOSE_FILE:-}"
>>"%work%.yml" echo       SIGHTLINE_DOMAIN: "${SIGHTLINE_DOMAIN:-}"
>>"%work%.yml" echo       SIGHTLINE_TLS: "${SIGHTLINE_TLS:-}"
docker compose -f - config <"%work%.yml" >"%work%.txt"
set "refused=%errorlevel%"
set "named="
set "domain="
set "tls="
for /f "usebackq tokens=1* delims=: " %%k in ("%work%.txt") do (
    if "%%k"=="COMPOSE_FILE" set "named=%%~l"
    if "%%k"=="SIGHTLINE_DOMAIN" set "domain=%%~l"
    if "%%k"=="SIGHTLINE_TLS" set "tls=%%~l"
)
del "%work%.yml" "%work%.txt"
exit /b %refused%

rem Sets "published" to where a container's port is, as a browser on this machine would say it; the
rem last, where it is published for IPv4 and for IPv6.
:address
set "published=localhost:%2"
for /f "delims=" %%a in ('docker compose port %1 %2') do set "published=%%a"
set "published=%published:127.0.0.1=localhost%"
set "published=%published:0.0.0.0=localhost%"
set "published=%published:[::]=localhost%"
exit /b 0

:no_docker
call :fail docker "not installed"
call :mend "Install Docker Desktop: https://docs.docker.com/get-started/get-docker/"
call :mend "Or run it without containers in WSL 2, with Python 3.11 to 3.13: make run"
exit /b 1
:no_engine
call :fail docker "the engine doesn't run, or this user may not use it"
call :mend "Open Docker Desktop and wait until it says that the engine runs."
call :mend "For the right to use it: net localgroup docker-users %USERNAME% /add  (as administrator)"
exit /b 1
:old_engine
call :fail docker "engine %engine% is too old, 25.0 is needed"
call :mend "Update Docker Desktop."
exit /b 1
:settings_failed
call :fail .env "Compose can't read it, see above"
call :mend "One NAME=value a line; a value with spaces or # goes into 'single quotes'."
exit /b 1
:no_compose
call :fail compose "Docker has no compose plugin"
call :mend "Update Docker Desktop, which brings it along."
exit /b 1
:https_failed
call :fail https "SIGHTLINE_DOMAIN or SIGHTLINE_TLS is not set"
call :mend "Write both into .env; deploy\compose\https.yml says what goes into them."
exit /b 1
:gpu_failed
call :fail device "%found%"
call :mend "%mend%"
call :mend "Or use the processor: startup.bat --cpu"
exit /b 1
:start_failed
echo. 1>&2
docker compose ps --all 1>&2
call :fail start "Docker Compose gave up, see above"
call :mend "A port is taken: write FRONTEND_PORT=8511, BACKEND_PORT=8010 or GRAFANA_PORT=3010 into .env."
call :mend "A part is not healthy: docker compose logs --tail 20 NAME"
call :mend "docs\operations.md goes through it by symptom."
exit /b 1

:fail
echo fail  %1 %~2 1>&2
exit /b 0
:mend
echo       -^> %~1 1>&2
exit /b 0

:help
call :usage
exit /b 0
:usage
echo usage: startup.bat [--cpu ^| --gpu] [--https] [--no-open]
echo        startup.bat --stop
echo.
echo Starts Sightline with Docker Compose, waits until every part is well, says where it is.
echo.
echo   --cpu      don't use a GPU, even if there is one
echo   --gpu      use the NVIDIA GPU, or stop and say what is missing
echo   --https    put HTTPS in front: cameras on other machines need it
echo              These three are remembered as COMPOSE_FILE in .env, which names all that is started.
echo   --no-open  don't open the page in a browser
echo   --stop     stop everything; models, dashboards and figures are kept
echo.
echo FRONTEND_PORT, BACKEND_PORT and GRAFANA_PORT in .env move it to other ports.
exit /b 0
