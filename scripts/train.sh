#!/usr/bin/env bash
# Train, then evaluate what was trained, with the flags that everybody knows:
#
#   scripts/train.sh --model_name openai/whisper-small --dataset_path data --output_dir runs/first \
#       --num_epochs 3 --batch_size 16 --gradient_accumulation_steps 2 --learning_rate 1e-4 --lora_r 32 --lora_alpha 64
#
#   --config FILE         start from a recipe in configs/; flags win over it
#   --use_4bit [BOOL]     QLoRA
#   --model_path PATH     what is evaluated; default: output_dir. Without --dataset_path nothing is trained
#   --test_dataset PATH   prepared data whose test split is used; default: dataset_path
#
# The same command again continues an interrupted training. On several GPUs, put e.g. RUN="torchrun --nproc_per_node 4 -m"
# before it.
set -euo pipefail

fail() {
  echo "train.sh: $1" >&2
  exit 2
}

train_flags=() config=() dataset="" output="" model_path="" test_dataset=""
while (($#)); do
  flag=$1
  case $flag in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  --use_4bit)
    case ${2-} in
    true | True | 1) train_flags+=(--use_4bit) && shift 2 ;;
    false | False | 0) train_flags+=(--no-use_4bit) && shift 2 ;;
    *) train_flags+=(--use_4bit) && shift ;;
    esac
    continue
    ;;
  --model_name | --dataset_path | --output_dir | --num_epochs | --batch_size | --gradient_accumulation_steps | \
    --learning_rate | --lora_r | --lora_alpha | --model_path | --test_dataset | --config) ;;
  *) fail "unknown flag $flag; see scripts/train.sh --help." ;;
  esac
  (($# >= 2)) || fail "$flag needs a value."
  case $flag in
  --model_path) model_path=$2 ;;
  --test_dataset) test_dataset=$2 ;;
  --config) config=("$2") ;;
  *) train_flags+=("$flag" "$2") ;;
  esac
  [[ $flag == --dataset_path ]] && dataset=$2
  [[ $flag == --output_dir ]] && output=$2
  shift 2
done

if [[ -n $dataset ]]; then
  [[ -n $output ]] || fail "--dataset_path needs --output_dir, where the run is written."
  if [[ -n ${RUN-} ]]; then
    # shellcheck disable=SC2086  # RUN is a command with its own arguments
    $RUN rojak.cli train ${config[@]+"${config[@]}"} "${train_flags[@]}"
  else
    rojak train ${config[@]+"${config[@]}"} "${train_flags[@]}"
  fi
fi
model=${model_path:-$output}
data=${test_dataset:-$dataset}
[[ -n $model && -n $data ]] || fail "give --dataset_path and --output_dir to train, or --model_path and --test_dataset to evaluate."
rojak evaluate "$model" "$data"
